"""The rows of a labelling job on disk: appended in order, whole after any kill, never two for one face.

    predictions.jsonl  one line a face, `index` counting up from 0
    faces.pack         where asked for: encoded pictures, end to end; a row's `offset` and `length` point here
    photos.pack        where asked for: smaller copies of whole photos; the `photo` of its rows points here

No torch.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

Row = dict[str, Any]

SYNC_SECONDS = 5.0  # what a power cut may cost; a kill costs nothing that was appended


class Preview(Protocol):
    """A smaller copy of a photo, and the size of the whole one in pixels."""

    @property
    def data(self) -> bytes:
        """Encoded."""

    @property
    def width(self) -> int:
        """Of the whole photo, upright."""

    @property
    def height(self) -> int:
        """Of the whole photo, upright."""


class RowLog:
    """Append rows; open again after a kill and go on. One process at a time (the job folder is locked).

    photo_bytes: how large photos.pack may become; 0: none is written.
    """

    def __init__(self, folder: Path, *, with_faces: bool, photo_bytes: int = 0) -> None:
        self._rows_path = folder / "predictions.jsonl"
        packs = {"faces.pack": with_faces, "photos.pack": photo_bytes > 0}
        found = _survey(folder, [name for name, is_kept in packs.items() if is_kept])
        self.count, self.next_picture = found.count, found.next_picture
        self._rows = _open_at(self._rows_path, found.rows_end)
        faces, photos = (_Pack(folder / n, found.pack_ends[n]) if packs[n] else None for n in packs)
        self._faces, self._photos, self._photo_bytes = faces, photos, photo_bytes
        self.photos_left_out = 0  # for want of room
        self._synced_at = time.monotonic()

    def append(
        self,
        rows: Sequence[Row],
        faces: Sequence[bytes | None],
        photos: Sequence[Preview | None] | None = None,
    ) -> None:
        """Add rows (each with its `picture`, the position in the source) and the encoded pictures they show.

        Numbers the rows, and gives those with a picture its `offset` and `length`, in place; and those of a
        photo that is kept its place and size, `photo`: [offset, length, width, height]. A photo comes with
        its first face.
        """
        place: tuple[int, list[int]] | None = None
        for row, face, photo in zip(rows, faces, photos or [None] * len(rows), strict=True):
            row["index"] = self.count
            self.count += 1
            self.next_picture = row["picture"] + 1
            if face is not None and self._faces is not None:
                row |= {"offset": self._faces.add(face), "length": len(face)}
            if photo is not None:
                place = self._kept(row["picture"], photo)
            if place is not None and place[0] == row["picture"]:
                row["photo"] = place[1]
        # Pictures first: a row that can be read always points at bytes that are there.
        for pack in self._packs():
            pack.file.flush()
        self._rows.write("".join(_line(row) for row in rows).encode())
        self._rows.flush()
        if time.monotonic() - self._synced_at > SYNC_SECONDS:
            self.sync()

    def _kept(self, picture: int, photo: Preview) -> tuple[int, list[int]] | None:
        if self._photos is None or self._photos.end + len(photo.data) > self._photo_bytes:
            self.photos_left_out += 1
            return None
        return picture, [self._photos.add(photo.data), len(photo.data), photo.width, photo.height]

    def _packs(self) -> list[_Pack]:
        return [pack for pack in (self._faces, self._photos) if pack is not None]

    def read(self) -> Iterator[Row]:
        """Every row so far, in order."""
        with self._rows_path.open("rb") as file:
            for line in file:
                yield json.loads(line)

    def sync(self) -> None:
        """Survive a power cut from here on."""
        for file in (*(pack.file for pack in self._packs()), self._rows):
            file.flush()
            os.fsync(file.fileno())
        self._synced_at = time.monotonic()

    def close(self) -> None:
        """Sync and let go of the files."""
        self.sync()
        self._rows.close()
        for pack in self._packs():
            pack.file.close()


class _Pack:
    """Encoded pictures, end to end."""

    def __init__(self, path: Path, end: int) -> None:
        self.file, self.end = _open_at(path, end), end

    def add(self, data: bytes) -> int:
        """Append one; answers where it begins."""
        begin = self.end
        self.file.write(data)
        self.end += len(data)
        return begin


def _line(row: Row) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"


@dataclass
class _Survey:
    """Rows of whole photos, the first photo without, and where the rows and their pictures end."""

    pack_ends: dict[str, int]
    count: int = 0
    next_picture: int = 0
    rows_end: int = 0


def _survey(folder: Path, packs: Sequence[str]) -> _Survey:
    path = folder / "predictions.jsonl"
    found = _Survey(dict.fromkeys(packs, 0))
    if not path.is_file():
        return found
    sizes = {name: (folder / name).stat().st_size if (folder / name).is_file() else 0 for name in packs}
    read = read_end = 0
    ends = dict(found.pack_ends)
    with path.open("rb") as file:
        for line in file:
            row = _whole(line, read)
            if row is None:
                break
            ends = {name: max(end, _end_in(name, row)) for name, end in ends.items()}
            if any(ends[name] > sizes[name] for name in packs):
                break
            read, read_end = read + 1, read_end + len(line)
            if row.get("face") is None or row["face"] == row["faces"] - 1:
                # The last face of its photo: a photo whose rows are torn apart is labelled again whole.
                found = _Survey(dict(ends), read, row["picture"] + 1, read_end)
    return found


def _end_in(pack: str, row: Row) -> int:
    """Where what a row shows ends in a pack; 0 where it shows nothing."""
    if pack == "photos.pack":
        return sum(row.get("photo", ())[:2])
    end: int = row.get("offset", 0) + row.get("length", 0)
    return end


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
