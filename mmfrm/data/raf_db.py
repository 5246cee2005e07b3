"""RAF-DB basic: EmoLabel/list_patition_label.txt (its own spelling) and Image/aligned/*_aligned.jpg."""

from __future__ import annotations

import re

from mmfrm.classes import RAF_DB
from mmfrm.data.archive import Archive, Entry
from mmfrm.data.layout import (
    Item,
    Plan,
    base,
    entry_named,
    examples,
    in_order,
    leftovers,
    may_be_image,
    rows,
    stream_of,
    tally_of,
)

_LISTS = ("list_patition_label.txt", "list_partition_label.txt")
_NAME = re.compile(r"(train|test)_\d+")


def read_raf_db(archive: Archive) -> Plan | None:
    """The plan of a RAF-DB source, or None."""
    table = entry_named(archive, *_LISTS)
    if table is None:
        return None
    labels, odd = _labels(archive, table)
    images = _images(archive, labels)
    if not labels or not images:
        return None
    items, used = [], {table.name}
    for stem, entry in images.items():
        items.append((Item(entry.name, stem.partition("_")[0], labels[stem]), entry))
        used.add(entry.name)
    aligned = sum("_aligned." in entry.name for entry in images.values())
    return Plan(
        layout="raf_db",
        reason=f"{table.name} labels {len(labels):,} images; {aligned:,} of them are aligned crops",
        classes=list(RAF_DB),
        total=len(items),
        tally=tally_of(RAF_DB, (item for item, _ in items)),
        stream=stream_of(archive, in_order(archive, items)),
        report={
            "rows_not_understood": odd,
            "listed_but_missing": examples([stem for stem in labels if stem not in images]),
            "not_aligned": len(images) - aligned,
        },
        refusals=leftovers(archive, used),
    )


def _labels(archive: Archive, table: Entry) -> tuple[dict[str, int], int]:
    """Class index by stem ("train_00001"), and how many lines were not understood."""
    labels: dict[str, int] = {}
    odd = 0
    for row in rows(archive, table):
        name, _, label = row[0].partition(" ")
        stem = name.rpartition(".")[0]
        if _NAME.fullmatch(stem) and label.strip() in {"1", "2", "3", "4", "5", "6", "7"}:
            labels[stem] = int(label) - 1
        else:
            odd += 1
    return labels, odd


def _images(archive: Archive, labels: dict[str, int]) -> dict[str, Entry]:
    """The image of each labelled stem: the aligned crop where there is one."""
    images: dict[str, Entry] = {}
    for entry in archive.entries:
        name = base(entry.name)
        if not may_be_image(name):
            continue
        stem = name.rpartition(".")[0]
        plain = stem.removesuffix("_aligned")
        if plain in labels and (stem != plain or plain not in images):
            images[plain] = entry
    return images
