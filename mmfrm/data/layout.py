"""What a layout reader makes of a source: a plan of items to import. No torch.

A reader looks inside a source and answers a Plan, or None where the source is of another layout. Nothing
is decoded yet: a plan names files, labels and splits, so that an import can go on where it was.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmfrm.data.archive import READ_ERRORS, Archive, Entry, UnreadableError, is_archive_name, read
from mmfrm.data.native import SPLITS, Refusal
from mmfrm.images import EXTENSIONS

LISTED = 20  # examples in a report; the rest is counted
MAX_LINE = 2**20  # characters; no row of labels is longer

SPLIT_NAMES = {
    "train": "train", "training": "train", "fer2013train": "train", "trainset": "train",
    "train set": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "fer2013valid": "val", "publictest": "val", "public test": "val", "test": "test", "testing": "test",
    "fer2013test": "test", "privatetest": "test", "private test": "test",
}  # fmt: skip
_TEXT = (
    ".txt", ".csv", ".tsv", ".md", ".json", ".xml", ".html", ".pdf", ".py", ".m", ".mat", ".npy", ".npz",
    ".yaml", ".yml", ".ini", ".doc", ".docx", ".xls", ".xlsx", ".rst", ".log", ".h5", ".pkl", ".pt", ".pth",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One image to import."""

    name: str
    split: str | None = None
    label: int | None = None
    votes: list[int] | None = None
    group: str | None = None


Loaded = tuple[Item, bytes | UnreadableError]


class LeftOutError(UnreadableError):
    """An item that people do not want. The text says why."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Images of a source by class and by split, "" standing for none; under the majority of votes."""

    classes: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table that may say who is who."""

    name: str
    values: int  # different ones, up to a cap
    example: str


@dataclass(frozen=True, kw_only=True)
class Groups:
    """What keeps faces of one person together, and why that was taken for it."""

    by: str  # a column, or "file names"; "" where nothing does
    recognised: str  # what would without a choice
    why: str  # that was recognised, or nothing was
    columns: list[Column] = field(default_factory=list)  # from which others may be chosen


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a source is read. `stream(n)` yields the items from the n-th on, each with its content."""

    layout: str
    reason: str  # why this layout, for people
    classes: list[str]
    total: int
    stream: Callable[[int], Iterator[Loaded]]
    vote_columns: list[str] | None = None
    encode: Callable[[bytes], bytes] | None = None  # content to an encoded image, where it is none
    report: dict[str, Any] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    groups: Groups | None = None


def tally_of(classes: Sequence[str], items: Iterable[Item]) -> Tally:
    """What the items come to, before any is looked at."""
    splits: Counter[str] = Counter()
    labels: Counter[int | None] = Counter()
    for item in items:
        splits[item.split or ""] += 1
        labels[item.label] += 1
    unlabelled = {"": labels[None]} if labels[None] else {}
    return Tally(
        classes={name: labels[i] for i, name in enumerate(classes)} | unlabelled,
        splits={name: splits[name] for name in (*SPLITS, "") if splits[name]},
    )


def stream_of(archive: Archive, items: list[tuple[Item, Entry]]) -> Callable[[int], Iterator[Loaded]]:
    """Reads the files of items, in their order."""

    def stream(start: int) -> Iterator[Loaded]:
        for item, entry in items[start:]:
            try:
                yield item, read(archive, entry)
            except UnreadableError as error:
                yield item, error

    return stream


def may_be_image(name: str) -> bool:
    """Whether a file should be looked into: by its extension, or because it has no telling one."""
    extension = extension_of(name)
    return extension in EXTENSIONS or not (extension in _TEXT or is_archive_name(name))


def extension_of(name: str) -> str:
    """ ".png" of "Face.PNG", "" where there is none."""
    base = name.rpartition("/")[2]
    return "." + base.rpartition(".")[2].lower() if "." in base else ""


def in_order(archive: Archive, items: list[tuple[Item, Entry]]) -> list[tuple[Item, Entry]]:
    """Items in the order of the archive's entries, which is the fastest to read and always the same."""
    position = {entry.name: at for at, entry in enumerate(archive.entries)}
    return sorted(items, key=lambda pair: position[pair[1].name])


def leftovers(archive: Archive, used: set[str]) -> list[Refusal]:
    """Everything that is neither an item nor a table that was read, with the reason."""
    return [Refusal(entry.name, *_why_not(entry.name)) for entry in archive.entries if entry.name not in used]


def _why_not(name: str) -> tuple[str, str]:
    if is_archive_name(name):
        return "refused", "an archive inside an archive: unpack it first"
    if extension_of(name) in EXTENSIONS:
        return "skipped", "an image that the labels do not mention"
    if extension_of(name) in (".csv", ".tsv"):
        return "skipped", "a table without a column of labels, or that names no image of this source"
    return "skipped", "not an image"


def split_of_path(name: str) -> str | None:
    """The split that a folder of a path names, the innermost first."""
    for part in reversed(name.lower().split("/")[:-1]):
        found = split_named(part)
        if found is not None:
            return found
    return None


def split_named(text: str) -> str | None:
    """train, val or test by any of its usual names."""
    return SPLIT_NAMES.get(text.strip().lower().replace("_", " ").replace("-", " "))


def base(name: str) -> str:
    """The last part of a path."""
    return name.rpartition("/")[2]


def entry_named(archive: Archive, *names: str) -> Entry | None:
    """The entry with one of these file names (lower case) nearest to the root."""
    found = [entry for entry in archive.entries if base(entry.name).lower() in names]
    return min(found, key=lambda entry: entry.name.count("/"), default=None)


def rows(archive: Archive, entry: Entry) -> Iterator[list[str]]:
    """Rows of a table inside a source, in whatever encoding and with whatever delimiter it has.

    A table that breaks off yields what came before.
    """
    try:
        with archive.open(entry) as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
            first = text.readline(MAX_LINE)
            rest = iter(lambda: text.readline(MAX_LINE), "")
            delimiter = max(",;\t", key=first.count)
            for row in csv.reader(_chain(first, rest), delimiter=delimiter):
                if row:
                    yield [cell.strip() for cell in row]
    except (*READ_ERRORS, csv.Error):
        return


def _chain(first: str, rest: Iterable[str]) -> Iterator[str]:
    # NUL characters make the csv module give up on an otherwise good table
    yield first.replace("\0", "")
    for line in rest:
        yield line.replace("\0", "")


def examples(names: list[str]) -> dict[str, Any]:
    """A count with a few names, for a report."""
    return {"count": len(names), "examples": names[:LISTED]}
