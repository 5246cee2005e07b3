"""FERPlus: folders FER2013Train/Valid/Test of fer*.png, and votes in fer2013new.csv or label.csv a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmfrm.classes import FERPLUS, canonical
from mmfrm.data.archive import Archive
from mmfrm.data.layout import (
    Item,
    Plan,
    base,
    entry_named,
    examples,
    leftovers,
    may_be_image,
    rows,
    split_named,
    split_of_path,
    stream_of,
    tally_of,
)
from mmfrm.labels import DROPPED, class_columns, label_votes

VOTE_COLUMNS = [*FERPLUS, "unknown", "NF"]  # the order of label.csv, which has no header
_FOLDERS = ("fer2013train", "fer2013valid", "fer2013test")


@dataclass
class Votes:
    """Votes and split by image name, and what was odd about the table."""

    columns: list[str]
    by_name: dict[str, tuple[str | None, list[int]]] = field(default_factory=dict)
    without_name: int = 0
    odd_rows: int = 0
    row_names: list[str] = field(default_factory=list)  # "" where a row has none, or is not understood
    repeated: list[str] = field(default_factory=list)  # names with a second row; the first one counts
    tables: set[str] = field(default_factory=set)


def read_ferplus(archive: Archive) -> Plan | None:
    """The plan of a FERPlus source, or None."""
    votes = votes_of(archive)
    if votes is None or not votes.by_name:
        return None
    items, used, unlabelled = [], set(votes.tables), []
    labels = majority_labels(votes)
    missing = dict.fromkeys(votes.by_name)
    for entry in archive.entries:
        name = base(entry.name)
        if not may_be_image(name) or entry.name in used:
            continue
        folder_split = split_of_path(entry.name)
        key = name if name in votes.by_name else f"{folder_split}/{name}"
        split, row = votes.by_name.get(key, (None, None))
        missing.pop(key, None)
        if row is None:
            unlabelled.append(entry.name)
        items.append((Item(entry.name, folder_split or split, labels.get(key), row), entry))
        used.add(entry.name)
    table, classes = min(votes.tables, key=len), classes_of(votes)
    if len(unlabelled) == len(items):  # the table alone, or with other images than its own
        return None
    return Plan(
        layout="ferplus",
        reason=f"{table} holds the votes on {len(votes.by_name):,} images of FER2013",
        classes=classes,
        vote_columns=votes.columns,
        total=len(items),
        tally=tally_of(classes, (item for item, _ in items)),
        stream=stream_of(archive, items),
        report={
            **report_of(votes),
            "listed_but_missing": examples(list(missing)),
            "images_without_votes": examples(unlabelled),
        },
        refusals=leftovers(archive, used),
    )


def classes_of(votes: Votes) -> list[str]:
    """The vote columns that are expressions."""
    return [name for name in map(canonical, votes.columns) if name in FERPLUS]


def report_of(votes: Votes) -> dict[str, Any]:
    """What is odd about a table of votes."""
    return {
        "rows_without_image_name": votes.without_name,
        "rows_not_understood": votes.odd_rows,
        "rows_repeated": examples(votes.repeated),
    }


def majority_labels(votes: Votes) -> dict[str, int | None]:
    """Labels under the majority rule, by image name."""
    table = np.array([row for _, row in votes.by_name.values()], np.int64)
    labels = label_votes(table, class_columns(votes.columns), "majority").labels.tolist()
    return {
        name: None if label == DROPPED else label for name, label in zip(votes.by_name, labels, strict=True)
    }


def votes_of(archive: Archive) -> Votes | None:
    table = entry_named(archive, "fer2013new.csv")
    if table is None:
        return _votes_by_folder(archive)
    lines = rows(archive, table)
    header = next(lines, [])
    lower = [cell.lower() for cell in header]
    if "image name" not in lower or "usage" not in lower:
        return None
    at_name, at_usage = lower.index("image name"), lower.index("usage")
    columns = [i for i, cell in enumerate(header) if canonical(cell) is not None]
    votes = Votes([canonical(header[i]) or header[i] for i in columns], tables={table.name})
    for row in lines:
        name = row[at_name] if len(row) == len(header) else None
        counts = _counts([row[i] for i in columns]) if name is not None else None
        votes.row_names.append(name if name and counts is not None else "")
        if name == "":
            votes.without_name += 1
        elif name is None or counts is None:
            votes.odd_rows += 1
        elif name in votes.by_name:
            votes.repeated.append(name)
        else:
            votes.by_name[name] = (split_named(row[at_usage]), counts)
    votes.tables |= {e.name for e in archive.entries if base(e.name).lower() == "label.csv"}
    return votes


def _votes_by_folder(archive: Archive) -> Votes | None:
    """label.csv in each of the three folders: name, box, ten votes, no header."""
    votes = Votes(VOTE_COLUMNS)
    for entry in archive.entries:
        parts = entry.name.lower().split("/")
        if parts[-1] != "label.csv" or len(parts) < 2 or parts[-2] not in _FOLDERS:
            continue
        split = split_named(parts[-2])
        votes.tables.add(entry.name)
        for row in rows(archive, entry):
            counts = _counts(row[2:])
            if len(row) != 12 or counts is None:
                votes.odd_rows += 1
            elif not row[0]:
                votes.without_name += 1
            else:
                votes.by_name[f"{split}/{row[0]}"] = (split, counts)
    return votes if votes.tables else None


def _counts(cells: list[str]) -> list[int] | None:
    """Votes as whole numbers from 0 to 1000, or None."""
    try:
        counts = [int(cell) for cell in cells]
    except ValueError:
        return None
    return counts if all(0 <= n <= 1000 for n in counts) else None
