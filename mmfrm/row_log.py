"""The rows of a labelling job on disk: appended in order, whole after any kill, never two for one face.

    predictions.jsonl  one line a face, `index` counting up from 0
    faces.pack         where asked for: encoded pictures, end to end; a row's `offset` and `length` point here

No torch.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

Row = dict[str, Any]

SYNC_SECONDS = 5.0  # what a power cut may cost; a kill costs nothing that was appended


class RowLog:
    """Append rows; open again after a kill and go on. One process at a time (the job folder is locked)."""

    def __init__(self, folder: Path, *, with_faces: bool) -> None:
        self._rows_path = folder / "predictions.jsonl"
        self.count, self.next_picture, rows_end, pack_end = _survey(folder, with_faces)
        self._rows = _open_at(self._rows_path, rows_end)
        self._pack = _open_at(folder / "faces.pack", pack_end) if with_faces else None
        self._pack_end = pack_end
        self._synced_at = time.monotonic()

    def append(self, rows: Sequence[Row], faces: Sequence[bytes | None]) -> None:
        """Add rows (each with its `picture`, the position in the source) and the encoded pictures they show.

        Numbers the rows, and gives those with a picture its `offset` and `length`, in place.
        """
        for row, face in zip(rows, faces, strict=True):
            row["index"] = self.count
            self.count += 1
            self.next_picture = row["picture"] + 1
            if face is not None and self._pack is not None:
                row |= {"offset": self._pack_end, "length": len(face)}
                self._pack.write(face)
                self._pack_end += len(face)
        # Pictures first: a row that can be read always points at bytes that are there.
        if self._pack is not None:
            self._pack.flush()
        self._rows.write("".join(_line(row) for row in rows).encode())
        self._rows.flush()
        if time.monotonic() - self._synced_at > SYNC_SECONDS:
            self.sync()

    def read(self) -> Iterator[Row]:
        """Every row so far, in order."""
        with self._rows_path.open("rb") as file:
            for line in file:
                yield json.loads(line)

    def sync(self) -> None:
        """Survive a power cut from here on."""
        for file in (self._pack, self._rows):
            if file is not None:
                file.flush()
                os.fsync(file.fileno())
        self._synced_at = time.monotonic()

    def close(self) -> None:
        """Sync and let go of the files."""
        self.sync()
        self._rows.close()
        if self._pack is not None:
            self._pack.close()


def _line(row: Row) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"


def _survey(folder: Path, with_faces: bool) -> tuple[int, int, int, int]:
    """Rows of whole pictures, the first picture without, and where the rows and their pictures end."""
    count = next_picture = rows_end = pack_end = 0  # up to the last photo that is whole
    read = read_end = face_ends = 0
    path, pack = folder / "predictions.jsonl", folder / "faces.pack"
    pack_size = pack.stat().st_size if with_faces and pack.is_file() else 0
    if not path.is_file():
        return 0, 0, 0, 0
    with path.open("rb") as file:
        for line in file:
            row = _whole(line, read)
            if row is None:
                break
            face_end = row.get("offset", 0) + row.get("length", 0) if with_faces else 0
            if face_end > pack_size:
                break
            read, read_end, face_ends = read + 1, read_end + len(line), max(face_ends, face_end)
            if row.get("face") is None or row["face"] == row["faces"] - 1:
                # The last face of its photo: a photo whose rows are torn apart is labelled again whole.
                count, next_picture, rows_end, pack_end = read, row["picture"] + 1, read_end, face_ends
    return count, next_picture, rows_end, pack_end


def _whole(line: bytes, index: int) -> Row | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
        return row if row["index"] == index and isinstance(row["picture"], int) else None
    except (ValueError, KeyError, TypeError):
        return None


def _open_at(path: Path, size: int) -> BinaryIO:
    """Open for appending after `size` bytes; what a kill left beyond them is cut off."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file
