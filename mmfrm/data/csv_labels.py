"""A table of path and label, or of path and votes, beside the images it names."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mmfrm.classes import AFFECTNET, EXPRESSIONS, NOT_AN_EXPRESSION, canonical, ordered
from mmfrm.data.archive import Archive, Entry
from mmfrm.data.csv_groups import CsvGroups, column_named, plain
from mmfrm.data.layout import (
    Item,
    Plan,
    base,
    examples,
    in_order,
    leftovers,
    may_be_image,
    rows,
    split_named,
    split_of_path,
    stream_of,
    tally_of,
)
from mmfrm.labels import DROPPED, class_columns, label_votes

_PATHS = (
    "path", "file", "filename", "file name", "file path", "filepath", "image", "image name", "image path",
    "img", "img path", "pth", "subdirectory filepath", "name", "image id",
)  # fmt: skip
_LABELS = ("label", "labels", "expression", "emotion", "class", "target", "category")
_SPLITS = ("split", "usage", "set", "subset", "partition", "phase")
_SHARE = "p_"  # a model's probability of a class, as in our own tables: nobody's vote
_MOST_VOTES = 10**6  # for a class of one face; more are a slip


@dataclass(frozen=True)
class _Columns:
    path: int
    label: int | None
    split: int | None
    group: int | None
    votes: list[int]
    vote_names: list[str]
    affectnet: bool
    others: dict[str, int]  # columns that may say who is who, by the name in the header


@dataclass
class _Row:
    path: str
    label: str
    split: str | None
    group: str | None
    votes: list[int] | None
    shares: bool  # its votes are no whole numbers, so its label counts


@dataclass(frozen=True)
class _Images:
    """The images of a source by every ending of their path, since tables are rarely exact."""

    by_path: dict[str, Entry]
    by_ending: dict[str, Entry | None]  # None where it is ambiguous

    def named(self, path: str) -> Entry | None:
        """The one with this path, or else the only one whose path ends so."""
        return self.by_path.get(path) or self.by_ending.get(path)


@dataclass
class _Table:
    vote_names: list[str] | None = None
    found: list[tuple[_Row, Entry]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    odd: int = 0
    used: set[str] = field(default_factory=set)
    groups: CsvGroups = field(default_factory=CsvGroups)


def read_csv(archive: Archive, group_by: str = "") -> Plan | None:
    """The plan of a source with such a table, or several of the same kind (train.csv, test.csv), or None.

    group_by: the column that says who is who; "": as recognised. Raises JobError where there is no such.
    """
    table = _Table(groups=CsvGroups(group_by))
    images = _index(archive)
    for entry in archive.entries:
        if base(entry.name).lower().endswith((".csv", ".tsv")):
            _read_table(archive, entry, images, table)
    if not table.found:
        return None
    classes, labels = _labels(table)
    items = [
        (Item(entry.name, row.split, label, row.votes, row.group), entry)
        for (row, entry), label in zip(table.found, labels, strict=True)
    ]
    items = in_order(archive, items)
    tables = sorted(table.used)
    return Plan(
        layout="csv",
        reason=f"{tables[0]} names {len(items):,} of the images and their "
        + ("votes" if table.vote_names else f"labels: {', '.join(classes[:10])}"),
        classes=classes,
        vote_columns=table.vote_names,
        total=len(items),
        tally=tally_of(classes, (item for item, _ in items)),
        groups=table.groups.found(),
        stream=stream_of(archive, items),
        report={"rows_not_understood": table.odd, "listed_but_missing": examples(table.missing)},
        refusals=leftovers(archive, table.used | {entry.name for _, entry in items}),
    )


def _index(archive: Archive) -> _Images:
    images = _Images({}, {})
    for entry in archive.entries:
        if not may_be_image(entry.name):
            continue
        images.by_path[entry.name] = entry
        parts = entry.name.split("/")
        for start in range(1, len(parts)):
            ending = "/".join(parts[start:])
            images.by_ending[ending] = None if ending in images.by_ending else entry
    return images


def _columns(header: list[str], groups: CsvGroups) -> _Columns | None:
    path, label, split = (column_named(header, names) for names in (_PATHS, _LABELS, _SPLITS))
    named = [i for i, cell in enumerate(header) if canonical(cell) is not None and i != label]
    shares = [i for i in named if header[i].strip().lower().startswith(_SHARE)]
    votes = [i for i in named if i not in shares]
    names = [canonical(header[i]) or header[i] for i in votes]
    has_votes = sum(name in EXPRESSIONS for name in names) >= 2 and len(set(names)) == len(names)
    if path is None or (label is None and not has_votes):
        return None
    taken = {path, label, split, *shares, *(votes if has_votes else ())}
    return _Columns(
        path=path,
        label=label,
        split=split,
        group=groups.choose(header),
        votes=votes if has_votes else [],
        vote_names=names,
        affectnet="valence" in plain(header),
        others={name: header.index(name) for i, name in enumerate(header) if i not in taken},
    )


def _read_table(archive: Archive, entry: Entry, images: _Images, table: _Table) -> None:
    lines = rows(archive, entry)
    header = next(lines, [])
    columns = _columns(header, table.groups)
    if columns is None:
        return
    seen, before = {found.name for _, found in table.found}, len(table.found)
    named_split = split_named(base(entry.name).rpartition(".")[0])
    for cells in lines:
        row = _row(cells, columns, named_split)
        if row is None:
            table.odd += 1
            continue
        image = images.named(row.path.removeprefix("./"))
        if image is None:
            table.missing.append(row.path)
        elif image.name not in seen:
            seen.add(image.name)
            row.split = row.split or split_of_path(image.name)
            table.found.append((row, image))
            table.used.add(entry.name)
            table.groups.see(columns.others, cells)
    if entry.name in table.used and columns.group is not None:
        table.groups.by = header[columns.group]
    found = [row for row, _ in table.found[before:]]
    only_shares = any(row.shares for row in found) and all(row.votes is None for row in found)
    if columns.votes and found and not only_shares:
        table.vote_names = columns.vote_names


def _row(cells: list[str], columns: _Columns, named_split: str | None) -> _Row | None:
    """A row that can be understood, or None."""

    def cell(at: int | None) -> str:
        return cells[at] if at is not None and at < len(cells) else ""

    given = [cell(i) for i in columns.votes]
    votes = _whole(given) if any(given) else None
    label = cell(columns.label)
    if columns.affectnet and label.isdigit():
        label = AFFECTNET[int(label)] if int(label) < len(AFFECTNET) else ""
    shares = any(given) and votes is None
    if shares and not label:
        return None
    path = cell(columns.path).replace("\\", "/")
    split = split_named(cell(columns.split)) or named_split
    return _Row(path, label, split, cell(columns.group) or None, votes, shares) if path else None


def _whole(cells: list[str]) -> list[int] | None:
    """Votes as whole numbers, an empty cell being none; None where one is not, as where they are shares."""
    try:
        votes = [float(cell or 0) for cell in cells]
    except ValueError:
        return None
    return [int(n) for n in votes] if all(n.is_integer() and 0 <= n <= _MOST_VOTES for n in votes) else None


def _labels(table: _Table) -> tuple[list[str], list[int | None]]:
    """Class names, and an index for each row found. Votes decide; a row without votes takes its label."""
    if table.vote_names is not None:
        columns = class_columns(table.vote_names)
        width = len(table.vote_names)
        votes = np.array([row.votes or [0] * width for row, _ in table.found], np.int64)
        labels = label_votes(votes, columns, "majority").labels.tolist()
        classes = [table.vote_names[i] for i in columns]
        by_hand = {name: i for i, name in enumerate(classes)}
        return classes, [
            by_hand.get(canonical(row.label) or row.label)
            if row.votes is None
            else None
            if x == DROPPED
            else x
            for (row, _), x in zip(table.found, labels, strict=True)
        ]
    names = [canonical(row.label) or row.label for row, _ in table.found]
    classes = list(ordered([name for name in names if name and name not in NOT_AN_EXPRESSION]))
    at = {name: i for i, name in enumerate(classes)}
    return classes, [at.get(name) for name in names]
