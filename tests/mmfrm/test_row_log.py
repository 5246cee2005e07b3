"""Rows on disk are whole and in order after any kill, and point at pictures that are there."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from mmfrm.row_log import RowLog


def row(picture: int) -> dict[str, Any]:
    return {"index": -1, "picture": picture, "file": f"{picture}.jpg", "probabilities": [0.25, 0.75]}


def face(picture: int) -> bytes:
    return bytes([picture]) * (picture + 1)


def append(log: RowLog, first: int, count: int) -> None:
    pictures = range(first, first + count)
    log.append([row(p) for p in pictures], [face(p) for p in pictures])


def test_rows_are_numbered_and_read_back_in_order(tmp_path: Path) -> None:
    log = RowLog(tmp_path, with_faces=False)
    append(log, 0, 3)
    append(log, 3, 2)
    log.close()
    again = RowLog(tmp_path, with_faces=False)
    assert (again.count, again.next_picture) == (5, 5)
    assert [r["index"] for r in again.read()] == [0, 1, 2, 3, 4]
    assert not (tmp_path / "faces.pack").exists()


def test_each_row_points_at_its_picture(tmp_path: Path) -> None:
    log = RowLog(tmp_path, with_faces=True)
    append(log, 0, 4)
    log.append([row(4), row(5)], [None, face(5)])  # a bad file has no picture
    log.close()
    pack = (tmp_path / "faces.pack").read_bytes()
    rows = list(RowLog(tmp_path, with_faces=True).read())
    assert "offset" not in rows[4]
    for r in rows[:4] + rows[5:]:
        assert pack[r["offset"] : r["offset"] + r["length"]] == face(r["picture"])


@pytest.mark.parametrize("seed", range(20))
def test_a_kill_at_any_byte_loses_the_torn_row_only(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    log = RowLog(tmp_path, with_faces=True)
    append(log, 0, 30)
    log.close()
    rows, pack = tmp_path / "predictions.jsonl", tmp_path / "faces.pack"
    whole_rows, whole_pack = rows.read_bytes(), pack.read_bytes()
    rows.write_bytes(whole_rows[: draw.randrange(len(whole_rows))])
    torn = whole_pack[: draw.randrange(len(whole_pack))]
    pack.write_bytes(draw.choice([torn, whole_pack, whole_pack + b"of rows never written"]))
    log = RowLog(tmp_path, with_faces=True)
    lines = rows.read_bytes()
    assert lines == whole_rows[: len(lines)]
    assert lines == b"" or lines.endswith(b"\n")
    append(log, log.next_picture, 30 - log.next_picture)
    log.close()
    assert rows.read_bytes() == whole_rows
    assert pack.read_bytes() == whole_pack


@pytest.mark.parametrize(
    "junk", [b"\x00\x00\x00\n", b'{"index":7,"picture":3}\n', b"[]\n", b"null\n", b'{"in']
)
def test_what_a_power_cut_leaves_behind_the_rows_is_cut_off(tmp_path: Path, junk: bytes) -> None:
    log = RowLog(tmp_path, with_faces=False)
    append(log, 0, 3)
    log.close()
    path = tmp_path / "predictions.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + junk)
    log = RowLog(tmp_path, with_faces=False)
    assert log.count == 3
    assert path.read_bytes() == before
