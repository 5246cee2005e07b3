"""FER2013 as one table: emotion, pixels, Usage. With fer2013new.csv beside it, FERPlus in its first form."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from mmfrm.classes import FER2013
from mmfrm.data.archive import Archive, Entry, UnreadableError
from mmfrm.data.ferplus import Votes, classes_of, majority_labels, report_of, votes_of
from mmfrm.data.layout import Item, Loaded, Plan, base, leftovers, rows, split_named, tally_of

_SIDE = 48


@dataclass(frozen=True)
class _Table:
    """Where the table is, and which column is what."""

    entry: Entry
    header: list[str]
    pixels: int
    label: int | None
    usage: int | None

    def rows(self, archive: Archive, start: int = 0) -> Iterator[list[str]]:
        return islice(rows(archive, self.entry), start + 1, None)


def read_fer2013(archive: Archive) -> Plan | None:
    """The plan of a source with FER2013's table, or None. Votes beside it make it FERPlus."""
    table = _table(archive)
    if table is None:
        return None
    votes = votes_of(archive)
    return (
        _plan(archive, table)
        if votes is None or not votes.row_names
        else _plan_with_votes(archive, table, votes)
    )


def _table(archive: Archive) -> _Table | None:
    for entry in archive.entries:
        if not base(entry.name).lower().endswith(".csv"):
            continue
        header = [cell.lower() for cell in next(rows(archive, entry), [])]
        at = {name: header.index(name) for name in ("pixels", "emotion", "usage") if name in header}
        if "pixels" in at:
            return _Table(entry, header, at["pixels"], at.get("emotion"), at.get("usage"))
    return None


def _plan(archive: Archive, table: _Table) -> Plan:
    def item(number: int, row: list[str]) -> Item:
        usage = row[table.usage] if table.usage is not None and table.usage < len(row) else ""
        return Item(f"fer{number:07d}.png", split_named(usage), _label(row, table.label))

    def stream(start: int) -> Iterator[Loaded]:
        for number, row in enumerate(table.rows(archive, start), start):
            yield item(number, row), _pixels(row, table)

    tally = tally_of(FER2013, (item(0, row) for row in table.rows(archive)))

    return Plan(
        layout="fer2013",
        reason=f"{table.entry.name} has the columns {', '.join(table.header[:4])}",
        classes=list(FER2013),
        total=sum(tally.splits.values()),
        tally=tally,
        stream=stream,
        encode=png_of_pixels,
        report={
            "without_emotion_column": table.label is None,
            "without_usage_column": table.usage is None,
        },
        refusals=leftovers(archive, {table.entry.name}),
    )


def _plan_with_votes(archive: Archive, table: _Table, votes: Votes) -> Plan:
    """FERPlus as it is published: its rows of votes stand beside the rows of FER2013's table."""
    labels, classes = majority_labels(votes), classes_of(votes)
    named = (Item(name, votes.by_name[name][0], label) for name, label in labels.items())
    first = {name: number for number, name in reversed(list(enumerate(votes.row_names)))}

    def stream(start: int) -> Iterator[Loaded]:
        for number, row in enumerate(table.rows(archive, start), start):
            name = votes.row_names[number] if number < len(votes.row_names) else ""
            if not name or first[name] != number:
                reason = (
                    "the name occurs twice; the first one was taken" if name else "FERPlus does not name it"
                )
                yield Item(name or f"row {number}"), UnreadableError(reason)
                continue
            split, counts = votes.by_name[name]
            yield Item(name, split, labels[name], counts), _pixels(row, table)

    return Plan(
        layout="ferplus",
        reason=f"{min(votes.tables, key=len)} holds votes on the pixels in {table.entry.name}, row by row",
        classes=classes,
        tally=tally_of(classes, named),
        vote_columns=votes.columns,
        total=sum(1 for _ in table.rows(archive)),
        stream=stream,
        encode=png_of_pixels,
        report=report_of(votes),
        refusals=leftovers(archive, votes.tables | {table.entry.name}),
    )


def _pixels(row: list[str], table: _Table) -> bytes | UnreadableError:
    return row[table.pixels].encode() if table.pixels < len(row) else UnreadableError("the row has no pixels")


def _label(row: list[str], at: int | None) -> int | None:
    text = row[at] if at is not None and at < len(row) else ""
    return int(text) if text in {"0", "1", "2", "3", "4", "5", "6"} else None


def png_of_pixels(text: bytes) -> bytes:
    """A row's pixels ("70 80 82 …", 48 × 48) as a grey PNG. Raises ValueError with the reason."""
    values = np.array(text.split(), dtype=np.int64)
    if len(values) != _SIDE * _SIDE:
        raise ValueError(f"{len(values):,} pixels, not 48 × 48")
    if values.min() < 0 or values.max() > 255:
        raise ValueError("pixels beyond 0…255")
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8).reshape(_SIDE, _SIDE)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


csv.field_size_limit(2**20)  # a row of pixels has some 10,000 characters; the default is 131,072
