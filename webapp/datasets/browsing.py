"""The faces of a version, as pages show them: filtered, a page at a time, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.http import Http404

from webapp.datasets.models import DatasetVersion, Sample
from webapp.datasets.ordering import Order
from webapp.datasets.report import SPLITS

AGREEMENTS = {
    "all": ("Everybody agrees", Q(agreement__gte=1.0)),
    "most": ("Most agree", Q(agreement__gte=0.7, agreement__lt=1.0)),
    "half": ("About half agree", Q(agreement__gte=0.5, agreement__lt=0.7)),
    "split": ("Fewer than half agree", Q(agreement__lt=0.5)),
}
FACES_A_PAGE = 120
FACES_A_CARD = 16
FACES_OF_OVERVIEW = 48
MOST_TWINS = 20


@dataclass(frozen=True)
class FaceFilter:
    """Which faces of a version are shown; comes from and goes to the address."""

    split: str = ""
    label: str = ""  # a class's name, or "none"
    flag: str = ""
    text: str = ""  # in the file's name
    votes: str = ""  # how far people agreed: a key of AGREEMENTS

    @classmethod
    def of(cls, query: Mapping[str, str]) -> FaceFilter:
        """From an address. What means nothing is left out."""
        split = query.get("split", "")
        text = query.get("text", "").strip()[:200].replace("\0", "")
        known = (*SPLITS, "none")
        votes = query.get("votes", "")
        return cls(
            split=split if split in known else "",
            label=query.get("label", ""),
            flag=query.get("flag", ""),
            text=text,
            votes=votes if votes in AGREEMENTS else "",
        )

    @property
    def is_on(self) -> bool:
        return self != FaceFilter()

    def narrow(self, rows: QuerySet[Any], version: DatasetVersion) -> QuerySet[Any]:
        """Of the version's samples, or of scores, which have the same columns: those that are shown."""
        if self.split:
            rows = rows.filter(split="" if self.split == "none" else self.split)
        if self.label == "none":
            rows = rows.filter(label=None)
        elif self.label in version.classes:
            rows = rows.filter(label=version.classes.index(self.label))
        if self.votes:
            rows = rows.filter(AGREEMENTS[self.votes][1])
        if self.flag:
            rows = rows.filter(flagged__contains=f" {self.flag} ")
        if self.text:
            rows = rows.filter(name__icontains=self.text)
        return rows


def in_order(version: DatasetVersion, filters: FaceFilter, order: Order | None = None) -> QuerySet[Any]:
    """What is shown, in its order: samples, or with an order scores; either has the sample's `index`.

    An index answers it without a look at the rows: samples_as_browsed, or one of faces_by_…
    With an order, faces that it says nothing of are left out.
    """
    if order is not None:
        return order.apply(lambda rows: filters.narrow(rows, version))
    return filters.narrow(Sample.objects.filter(version=version), version).order_by("index")


def faces(
    version: DatasetVersion, filters: FaceFilter, number: str | None, order: Order | None = None
) -> tuple[Page[int], list[Sample]]:
    """One page of the grid: three queries, whatever the filter and order and however many faces."""
    indices = in_order(version, filters, order).values_list("index", flat=True)
    page = Paginator(indices, FACES_A_PAGE).get_page(number)
    wanted = list(page.object_list)
    found = Sample.objects.filter(version=version, index__in=wanted)
    found = found.only("index", "name", "split", "label", "flags", "version")
    at = {sample.index: sample for sample in found}
    return page, [at[index] for index in wanted]


def face(version: DatasetVersion, index: int) -> Sample:
    """One face. Raises Http404."""
    row = Sample.objects.filter(version=version, index=index).first()
    if row is None:
        raise Http404
    row.version = version
    return row


def label_of(version: DatasetVersion, sample: Sample) -> str:
    """The name of a face's class, "" where it has none."""
    return version.classes[sample.label] if sample.label is not None else ""


def neighbours(
    sample: Sample, filters: FaceFilter, order: Order | None = None
) -> tuple[int | None, int | None]:
    """Index of the face before and after, among those that the filter shows, in its order."""
    rows = in_order(sample.version, filters, order)
    if order is not None:
        return order.neighbours(sample, rows)
    indices = rows.values_list("index", flat=True)
    before = indices.filter(index__lt=sample.index).order_by("-index").first()
    return before, indices.filter(index__gt=sample.index).first()


def evenly(version: DatasetVersion, count: int = FACES_OF_OVERVIEW) -> list[Sample]:
    """Faces from all over a version, to give an impression."""
    step = max(1, version.images // count)
    wanted = [i * step for i in range(min(count, version.images))]
    rows = Sample.objects.filter(version=version, index__in=wanted).order_by("index")
    return list(rows.only("index", "name", "label", "version"))


def card_faces(version: DatasetVersion) -> list[int]:
    """Indices of a few faces for a card. Nothing is asked for: indices count from 0 without gaps."""
    count = min(FACES_A_CARD, version.images)
    return [i * (version.images // count) for i in range(count)]


def page_of(sample: Sample, filters: FaceFilter, order: Order | None = None) -> int:
    """The page of the grid that shows a face."""
    rows = in_order(sample.version, filters, order)
    earlier = rows.filter(index__lt=sample.index) if order is None else order.earlier(sample, rows)
    return earlier.count() // FACES_A_PAGE + 1


def twins(sample: Sample) -> list[Sample]:
    """Other faces of the version with the very same pixels."""
    if not sample.pixels:
        return []
    alike = Sample.objects.filter(version=sample.version, pixels=sample.pixels).exclude(pk=sample.pk)
    return list(alike.order_by("index")[:MOST_TWINS])


def votes_of(sample: Sample) -> list[dict[str, Any]]:
    """How people voted on a face, in the order of the columns."""
    columns = sample.version.vote_columns or []
    return [{"name": n, "votes": v} for n, v in zip(columns, sample.votes or [], strict=False)]
