"""FER2013 as one table: emotion, pixels, Usage. With fer2013new.csv beside it, FERPlus in its first form."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice

import numpy as np
from PIL import Image

from mmfrm.classes import FER2013
from mmfrm.data.archive import Archive, Entry, UnreadableError
from mmfrm.data.layout import Item, Loaded, Plan, base, leftovers, rows, split_named

_SIDE = 48


def read_fer2013(archive: Archive) -> Plan | None:
    """The plan of a source with FER2013's table, or None."""
    for entry in archive.entries:
        if base(entry.name).lower().endswith(".csv"):
            header = [cell.lower() for cell in next(rows(archive, entry), [])]
            if "pixels" in header:
                return _plan(archive, entry, header)
    return None


def _plan(archive: Archive, table: Entry, header: list[str]) -> Plan:
    total = sum(1 for _ in rows(archive, table)) - 1
    at_pixels = header.index("pixels")
    at_label = header.index("emotion") if "emotion" in header else None
    at_usage = header.index("usage") if "usage" in header else None

    def stream(start: int) -> Iterator[Loaded]:
        for number, row in enumerate(islice(rows(archive, table), start + 1, None), start):
            label = _label(row, at_label)
            split = split_named(row[at_usage]) if at_usage is not None and at_usage < len(row) else None
            item = Item(f"fer{number:07d}.png", split, label)
            if at_pixels >= len(row):
                yield item, UnreadableError("the row has no pixels")
            else:
                yield item, row[at_pixels].encode()

    return Plan(
        layout="fer2013",
        reason=f"{table.name} has the columns {', '.join(header[:4])}",
        classes=list(FER2013),
        total=total,
        stream=stream,
        encode=png_of_pixels,
        report={"without_emotion_column": at_label is None, "without_usage_column": at_usage is None},
        refusals=leftovers(archive, {table.name}),
    )


def _label(row: list[str], at: int | None) -> int | None:
    text = row[at] if at is not None and at < len(row) else ""
    return int(text) if text in {"0", "1", "2", "3", "4", "5", "6"} else None


def png_of_pixels(text: bytes) -> bytes:
    """A row's pixels ("70 80 82 …", 48 × 48) as a grey PNG. Raises ValueError with the reason."""
    import io

    values = np.array(text.split(), dtype=np.int64)
    if len(values) != _SIDE * _SIDE:
        raise ValueError(f"{len(values):,} pixels, not 48 × 48")
    if values.min() < 0 or values.max() > 255:
        raise ValueError("pixels beyond 0…255")
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8).reshape(_SIDE, _SIDE)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


csv.field_size_limit(2**20)  # a row of pixels has some 10,000 characters; the default is 131,072
