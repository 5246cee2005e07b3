"""A version as a zip that is made while it is sent, in a layout that the import reads again.

The import of what comes out gives the same fingerprint: images are the stored bytes, and labels, votes and
splits stand where the layout keeps them. What a layout cannot hold is refused in words before it begins.
Groups (who is who) are kept by the CSV alone.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from django.db.models import QuerySet

from mmfrm.classes import EXPRESSIONS, FERPLUS, RAF_DB, canonical
from mmfrm.spreadsheet import safe_cell
from webapp import packs
from webapp.datasets.models import DatasetVersion, Sample
from webapp.errors import RefusedError
from webapp.zips import zip_stream

LAYOUTS = {
    "folders": "A folder for each expression",
    "csv": "Images and a CSV",
    "ferplus": "FERPlus",
    "raf_db": "RAF-DB",
}
CHUNK = 500  # samples asked for at once: no query stays open while a slow visitor downloads
_FER_SPLITS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
_FER_USAGE = {"train": "Training", "val": "PublicTest", "test": "PrivateTest", "": ""}
_UNLABELLED = "unlabelled"
_UNSAFE = re.compile(r"[^\w.() -]+")


@dataclass
class _Names:
    """Paths that are given out once: the file's own name where it is free, otherwise with its index."""

    taken: set[str] = field(default_factory=set)

    def give(self, folder: str, sample: Sample, suffix: str) -> str:
        stem = sample.name.rpartition("/")[2].rpartition(".")[0] or sample.name.rpartition("/")[2]
        stem = _UNSAFE.sub("_", stem).strip(" .")[:100] or f"{sample.index:06}"
        path = f"{folder}{stem}{suffix}"
        if path.lower() in self.taken:
            path = f"{folder}{stem}-{sample.index:06}{suffix}"
        self.taken.add(path.lower())
        return path


# Where an image goes (index and suffix known), and the row of the table about it, if it has one.
Place = Callable[[Sample, str], tuple[str, list[str] | None]]


def why_not(version: DatasetVersion, layout: str) -> str:
    """Why a version does not fit a layout, in words; empty where it does. At most two queries."""
    rows = Sample.objects.filter(version=version)
    if layout == "ferplus":
        return _why_not_ferplus(version, rows)
    if layout == "raf_db":
        return _why_not_raf_db(version, rows)
    if layout == "folders":
        return _why_not_folders(version)
    if layout == "csv" and any(canonical(name) is None for name in version.vote_columns or ()):
        return "Its votes are for classes with names of their own, which no import would take for votes."
    return ""


def _why_not_folders(version: DatasetVersion) -> str:
    """Names of classes become folders here, so none may lead elsewhere or be read as another class."""
    if not version.classes:
        return "It has no classes to name folders after."
    if strange := [name for name in version.classes if name not in EXPRESSIONS]:
        return (
            f"{strange[0][:60]} is none of the expressions that folders are recognised by. "
            f"Take “{LAYOUTS['csv']}” instead: it keeps every class by its name."
        )
    return ""


def _why_not_ferplus(version: DatasetVersion, rows: QuerySet[Sample]) -> str:
    if not version.vote_columns:
        return "FERPlus keeps votes, and this data set has none."
    if not set(version.classes) <= set(FERPLUS):
        return "It has classes that FERPlus does not know."
    if count := rows.filter(votes__isnull=True).exclude(label=None).count():
        return f"{count:,} faces were labelled by hand and have no votes."
    return ""


def _why_not_raf_db(version: DatasetVersion, rows: QuerySet[Sample]) -> str:
    if set(version.classes) != set(RAF_DB):
        return "RAF-DB has seven expressions, and this data set has others."
    if version.vote_columns:
        return "RAF-DB keeps one label an image, and this data set has votes."
    if not set(version.counts) <= {"train", "test"}:
        return "RAF-DB knows train and test alone."
    if count := rows.filter(label=None).count():
        return f"{count:,} faces have no label."
    return ""


def stream(version: DatasetVersion, layout: str) -> Iterator[bytes]:
    """The zip, piece by piece. Raises RefusedError at once where the version does not fit the layout."""
    if reason := why_not(version, layout):
        raise RefusedError(reason)
    place, table, header = _PLANS[layout](version)
    return zip_stream(_files(version, place, table, header))


def _files(
    version: DatasetVersion, place: Place, table: str, header: list[str]
) -> Iterator[tuple[str, bytes | str]]:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    if header:
        writer.writerow(header)
    for sample in _samples(version):
        data = packs.read(version.folder / sample.pack, sample.offset, sample.length)
        path, row = place(sample, packs.ending(data) or ".png")
        yield path, data
        if row is not None:
            writer.writerow(row)
    if table:
        yield table, lines.getvalue()


def _samples(version: DatasetVersion) -> Iterator[Sample]:
    for start in range(0, version.images, CHUNK):
        yield from Sample.objects.filter(version=version, index__gte=start, index__lt=start + CHUNK).order_by(
            "index"
        )


def _label(version: DatasetVersion, sample: Sample) -> str:
    return "" if sample.label is None else version.classes[sample.label]


def _folders(version: DatasetVersion) -> tuple[Place, str, list[str]]:
    names = _Names()

    def place(sample: Sample, suffix: str) -> tuple[str, None]:
        split = f"{sample.split}/" if sample.split else ""
        return names.give(f"{split}{_label(version, sample) or _UNLABELLED}/", sample, suffix), None

    return place, "", []


def _csv(version: DatasetVersion) -> tuple[Place, str, list[str]]:
    names = _Names()
    columns: list[str] = version.vote_columns or []

    def place(sample: Sample, suffix: str) -> tuple[str, list[str]]:
        path = names.give("images/", sample, suffix)
        votes = list(map(str, sample.votes or [""] * len(columns)))
        label = safe_cell(_label(version, sample))
        return path, [path, label, sample.split, safe_cell(sample.group), *votes]

    return place, "labels.csv", ["path", "label", "split", "group", *map(safe_cell, columns)]


def _ferplus(version: DatasetVersion) -> tuple[Place, str, list[str]]:
    names = _Names()
    columns: list[str] = version.vote_columns or []

    def place(sample: Sample, suffix: str) -> tuple[str, list[str] | None]:
        name = names.give("", sample, suffix)  # the table goes by the name alone, so it is unique everywhere
        folder = _FER_SPLITS.get(sample.split)
        path = f"{folder}/{name}" if folder else name
        if sample.votes is None:
            return path, None
        return path, [_FER_USAGE[sample.split], safe_cell(name), *map(str, sample.votes)]

    return place, "fer2013new.csv", ["Usage", "Image name", *columns]


def _raf_db(version: DatasetVersion) -> tuple[Place, str, list[str]]:
    number = {name: str(i + 1) for i, name in enumerate(RAF_DB)}

    def place(sample: Sample, suffix: str) -> tuple[str, list[str]]:
        stem = f"{sample.split}_{sample.index + 1:05}"
        return f"Image/aligned/{stem}_aligned{suffix}", [f"{stem}.jpg {number[_label(version, sample)]}"]

    return place, "EmoLabel/list_patition_label.txt", []


_PLANS: dict[str, Callable[[DatasetVersion], tuple[Place, str, list[str]]]] = {
    "folders": _folders,
    "csv": _csv,
    "ferplus": _ferplus,
    "raf_db": _raf_db,
}


def offers(version: DatasetVersion) -> Iterable[tuple[str, str, str]]:
    """Each layout, its name for people, and why the version cannot be had in it ("" where it can)."""
    return [(layout, name, why_not(version, layout)) for layout, name in LAYOUTS.items()]
