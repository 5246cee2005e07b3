"""What pages read of label batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Count, F, Max, Min, Prefetch, Q, QuerySet
from django.http import QueryDict

from webapp import packs
from webapp.accounts.models import User
from webapp.accounts.permissions import visible
from webapp.experiments.models import Run
from webapp.labeling.disagreement import second_key
from webapp.labeling.models import LabelBatch, MadeDataset, Prediction, Verdict

ORDERS = {
    "index": ("In order", ("index",)),
    "unsure": ("Least confident first", ("confidence", "index")),
    "sure": ("Most confident first", ("-confidence", "index")),
    "file": ("File name", ("file", "index")),
    "detection": ("Least surely a face first", ("detection", "index")),
}
HAVING = {"unsure": "label", "sure": "label", "detection": "detection"}  # what an order needs
PHOTOS = {
    "": "Any number of faces",
    "one": "One face in its photo",
    "several": "Several faces in its photo",
    "none": "Photos without a face",
}
VIEWS = ("grid", "table")
MOST_NOTICES = 50  # looked at; equal ones are shown once
REVIEWS = {
    "": "Reviewed or not",
    "open": "Not reviewed",
    "reviewed": "Reviewed",
    "changed": "Changed",
    "unsure": "Unsure",
    "not_a_face": "Not a face",
    "skipped": "Skipped",
    "conflict": "In conflict",
}
MOST_FACES_SHOWN = 500  # on a photo's page
PIECE = 1000  # rows fetched at once while a file is sent


@dataclass(frozen=True)
class FaceFilter:
    """Which faces of a batch are shown, and in which order; comes from and goes to the address."""

    label: str = ""  # a class name, "error", or all
    text: str = ""
    order: str = "index"
    view: str = "grid"
    review: str = ""
    photo: str = ""  # how many faces were found in its photo, where faces were looked for

    @classmethod
    def of(cls, query: QueryDict) -> FaceFilter:
        order, view = query.get("order", "index"), query.get("view", "grid")
        return cls(
            label=query.get("label", ""),
            text=query.get("text", "").strip(),
            order=order if order in ORDERS or second_key(order) is not None else "index",
            view=view if view in VIEWS else "grid",
            review=query.get("review", "") if query.get("review", "") in REVIEWS else "",
            photo=query.get("photo", "") if query.get("photo", "") in PHOTOS else "",
        )

    def query(self) -> str:
        """The address's query string, without the page."""
        default = FaceFilter()
        return urlencode({k: v for k, v in vars(self).items() if v != getattr(default, k)})

    def apply(self, batch: LabelBatch) -> QuerySet[Prediction]:
        rows = batch.predictions.all()
        if self.label == "error":
            rows = rows.exclude(error="")
        elif self.label in batch.model.classes:
            rows = rows.filter(label=batch.model.classes.index(self.label))
        rows = {
            "one": rows.filter(faces=1),
            "several": rows.filter(faces__gt=1),
            "none": rows.filter(faces=0),
        }.get(self.photo, rows)
        match self.review:
            case "open":
                rows = rows.filter(verdict=Verdict.NOTHING, label__isnull=False)
            case "reviewed":
                rows = rows.exclude(verdict__in=(Verdict.NOTHING, Verdict.CONFLICT))
            case "changed":
                rows = rows.filter(verdict=Verdict.LABEL).exclude(corrected=F("label"))
            case "":
                pass
            case verdict:
                rows = rows.filter(verdict=verdict)
        if self.text:
            rows = rows.filter(file__icontains=self.text)
        second = second_key(self.order)
        if second is not None and self.label != "error":
            return rows.filter(opinions__second=second).order_by("-opinions__disagreement", "index")
        if self.order in HAVING and self.label != "error":  # they have neither
            rows = rows.filter(**{f"{HAVING[self.order]}__isnull": False})
        return rows.order_by(*ORDERS.get(self.order, ORDERS["index"])[1])


@dataclass(frozen=True)
class ClassCount:
    """How many faces of a batch have a class."""

    name: str
    count: int


def batches(user: User) -> QuerySet[LabelBatch]:
    """Batches that somebody may see, newest first."""
    rows = visible(LabelBatch.objects.all(), user)
    return rows.select_related("model", "job", "owner").order_by("-created_at")


@dataclass(frozen=True)
class Size:
    """How much a batch holds, and how much of it was reviewed."""

    faces: int = 0
    errors: int = 0  # rows that say why there is no face
    reviewed: int = 0


def sizes(batches: Iterable[LabelBatch]) -> dict[int, Size]:
    """By the batch's key, in one query."""
    is_face = Q(label__isnull=False)
    is_undecided = Q(verdict__in=(Verdict.NOTHING, Verdict.CONFLICT))
    rows = Prediction.objects.filter(batch__in=[batch.pk for batch in batches]).order_by()
    counted = rows.values_list("batch").annotate(
        faces=Count("pk", filter=is_face),
        errors=Count("pk", filter=~is_face),
        reviewed=Count("pk", filter=is_face & ~is_undecided),
    )
    return {batch: Size(*figures) for batch, *figures in counted}


def counts(batch: LabelBatch) -> tuple[list[ClassCount], int]:
    """Faces a class, in the model's order, and the number of files without an answer."""
    by_label = dict(batch.predictions.order_by().values_list("label").annotate(n=Count("pk")))
    listed = [ClassCount(name, by_label.get(i, 0)) for i, name in enumerate(batch.model.classes)]
    return listed, by_label.get(None, 0)


def photo_faces(batch: LabelBatch, picture: int) -> list[Prediction]:
    """The faces of one photo, largest first; or its one row that says why it has none."""
    rows = batch.predictions.filter(picture=picture).select_related("reviewed_by")
    return list(rows.order_by("index")[:MOST_FACES_SHOWN])


def neighbours(batch: LabelBatch, picture: int, filters: FaceFilter) -> tuple[int | None, int | None]:
    """The photos before and after one, among those with a face that fits the filters; in source order."""
    ends = (
        filters.apply(batch)
        .order_by()
        .aggregate(
            before=Max("picture", filter=Q(picture__lt=picture)),
            after=Min("picture", filter=Q(picture__gt=picture)),
        )
    )
    return ends["before"], ends["after"]


def made_datasets(user: User, batch: LabelBatch) -> QuerySet[MadeDataset]:
    """Versions of data sets made of a batch that somebody may see, newest first."""
    runs = visible(Run.objects.exclude(start_from={}), user).select_related("job").order_by("-created_at")
    rows = batch.datasets.select_related("version__dataset", "version__import_job__job").prefetch_related(
        Prefetch("version__runs", runs, to_attr="further_runs")
    )
    return visible(rows, user, "version__dataset__").order_by("-pk")


def in_pieces(batch: LabelBatch, rows: QuerySet[Prediction] | None = None) -> Iterator[Prediction]:
    """Faces in order, fetched a piece at a time: no cursor stays open while a slow reader takes its time."""
    rows = (batch.predictions.all() if rows is None else rows).select_related("reviewed_by").order_by("index")
    last = -1
    while piece := list(rows.filter(index__gt=last)[:PIECE]):
        yield from piece
        last = piece[-1].index


def final_label(row: Prediction) -> int | None:
    """What holds for a face: a person's class, else the model's; None where a person gave it no class."""
    if row.verdict == Verdict.LABEL:
        return row.corrected
    return row.label if row.verdict == Verdict.NOTHING else None


def pixels_of(batch: LabelBatch, face: Prediction) -> bytes:
    """The encoded crop of a face. ValueError where it has none: a photo without a face, or unreadable."""
    if face.offset is None or face.length is None:
        raise ValueError(f"face {face.index} has no pixels")
    return packs.read(batch.folder / "faces.pack", face.offset, face.length)


def notices(batch: LabelBatch) -> list[dict[str, str]]:
    """What the labelling wanted people to know, each text once: `text` and `level`."""
    told = batch.job.events.filter(kind="notice").order_by("seq").values_list("payload", flat=True)
    return list({payload["text"]: payload for payload in told[:MOST_NOTICES]}.values())
