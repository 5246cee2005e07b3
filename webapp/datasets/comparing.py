"""Two versions of a data set side by side: which faces came, went, moved, or are called otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from django.core.paginator import Page, Paginator

from webapp.datasets import report
from webapp.datasets.models import DatasetVersion, Sample

FACES_A_PAGE = 60
KINDS = {
    "left_out": "Left out",
    "added": "Added",
    "relabelled": "Relabelled",
    "moved": "Moved to another split",
    "tagged": "Tagged otherwise",
}

Pair = tuple[int | None, int | None]  # a face's index in the older and in the newer version

_Key = tuple[int, datetime | None]  # of a version; when it got ready tells a restored database from this one


@dataclass(frozen=True)
class Difference:
    """Which faces differ, by kind, in order. One face may differ in several ways."""

    faces: Mapping[str, list[Pair]]
    same: int  # faces that differ in nothing

    @property
    def is_none(self) -> bool:
        """Whether no face differs."""
        return not any(self.faces.values())


@dataclass(frozen=True)
class CountRow:
    """Images of one class or split, before and after."""

    name: str
    before: int
    after: int

    @property
    def change(self) -> int:
        """How many more there are."""
        return self.after - self.before


@dataclass(frozen=True)
class ShownFace:
    """A face of the comparison: where its pixels are, and what is different about it."""

    version: DatasetVersion  # whose pixels are shown
    sample: Sample
    before: str
    after: str


def difference(old: DatasetVersion, new: DatasetVersion) -> Difference:
    """What differs: two queries the first time, none later, since versions never change."""
    return _difference((old.pk, old.ready_at), (new.pk, new.ready_at))


@lru_cache(maxsize=8)
def _difference(older: _Key, newer: _Key) -> Difference:
    (old, _), (new, _) = older, newer
    before = _faces(old)
    found: dict[str, list[Pair]] = {kind: [] for kind in KINDS}
    same = 0
    for key, (index, split, label, flagged) in _faces(new).items():
        earlier = before.pop(key, None)
        if earlier is None:
            found["added"].append((None, index))
            continue
        was, old_split, old_label, old_flagged = earlier
        pair = (was, index)
        kinds = [
            kind
            for kind, differs in (
                ("relabelled", label != old_label),
                ("moved", split != old_split),
                ("tagged", flagged != old_flagged),
            )
            if differs
        ]
        for kind in kinds:
            found[kind].append(pair)
        same += not kinds
    found["left_out"] = [(index, None) for index, *_ in before.values()]
    return Difference(found, same)


def _faces(version_id: int) -> dict[tuple[str, str, int], tuple[int, str, str, str]]:
    """Each face by its file's name and content (and which of several equal ones it is)."""
    classes = DatasetVersion.objects.values_list("classes", flat=True).get(pk=version_id)
    rows = Sample.objects.filter(version=version_id).order_by("index")
    found: dict[tuple[str, str, int], tuple[int, str, str, str]] = {}
    columns = ("index", "name", "sha256", "split", "label", "flagged")
    for index, name, content, split, label, flagged in rows.values_list(*columns).iterator(5000):
        copy = 0
        while (name, content, copy) in found:
            copy += 1
        named = "" if label is None else classes[label]
        found[name, content, copy] = (index, split, named, flagged)
    return found


def by_class(old: DatasetVersion, new: DatasetVersion) -> list[CountRow]:
    """Images of each class that either version knows, those without a label last."""
    before, after = _by_class(old), _by_class(new)
    names = [*new.classes, *(name for name in old.classes if name not in new.classes), ""]
    rows = [CountRow(name, before.get(name, 0), after.get(name, 0)) for name in names]
    return [row for row in rows if row.name or row.before or row.after]


def by_split(old: DatasetVersion, new: DatasetVersion) -> list[CountRow]:
    """Images of each split that either version has."""
    return [
        CountRow(report.SPLIT_NAMES[split], *(sum(v.counts.get(split, {}).values()) for v in (old, new)))
        for split in (*report.SPLITS, "")
        if split in old.counts or split in new.counts
    ]


def _by_class(version: DatasetVersion) -> dict[str, int]:
    found: dict[str, int] = {}
    for counts in version.counts.values():
        for name, count in counts.items():
            found[name] = found.get(name, 0) + count
    return found


def shown(
    old: DatasetVersion, new: DatasetVersion, kind: str, number: str | None
) -> tuple[Page[Pair], list[ShownFace]]:
    """A page of the faces that differ in one way: two queries."""
    page = Paginator(difference(old, new).faces[kind], FACES_A_PAGE).get_page(number)
    pairs = list(page.object_list)
    before = _samples(old, [was for was, _ in pairs if was is not None])
    after = _samples(new, [now for _, now in pairs if now is not None])
    faces = []
    for was, now in pairs:
        earlier, later = before.get(was), after.get(now)
        face = later or earlier
        if face is not None:
            words = (_words(old, earlier, kind), _words(new, later, kind))
            faces.append(ShownFace(new if later else old, face, *words))
    return page, faces


def _samples(version: DatasetVersion, indices: list[int]) -> dict[int | None, Sample]:
    rows = Sample.objects.filter(version=version, index__in=indices).defer("votes")
    return {row.index: row for row in rows}


def _words(version: DatasetVersion, sample: Sample | None, kind: str) -> str:
    """What stands under a face for one of the versions."""
    if sample is None:
        return ""
    if kind == "moved":
        return report.SPLIT_NAMES[sample.split].lower()
    if kind == "tagged":
        return ", ".join(sample.flags) or "no tag"
    return version.classes[sample.label] if sample.label is not None else "no label"


def way(old: DatasetVersion, new: DatasetVersion) -> list[DatasetVersion]:
    """The versions that were made on the way from the older to the newer; empty where there is no way."""
    known = {v.pk: v for v in DatasetVersion.objects.filter(dataset=new.dataset_id).select_related("made_by")}
    steps: list[DatasetVersion] = []
    step: DatasetVersion | None = known.get(new.pk)
    while step is not None and step.pk != old.pk:
        steps.insert(0, step)
        step = known.get(step.parent_id) if step.parent_id is not None else None
    return steps if step is not None else []
