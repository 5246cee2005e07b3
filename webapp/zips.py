"""Zips: made while they are sent, holding no more than a piece, or written to disk whole or not at all."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PIECE = 2**18


class _Sink:
    """A file that cannot be read or sought: what was written since is taken out by `take`."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces, self.size = [], 0
        return data


def zip_stream(files: Iterable[tuple[str, bytes | str]], piece: int = PIECE) -> Iterator[bytes]:
    """A zip of named files, a piece at a time. Text is compressed; bytes are pictures, which are already."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, data in files:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED if isinstance(data, str) else None)
            if sink.size >= piece:
                yield sink.take()
    yield sink.take()


@contextmanager
def written_whole(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip to fill, which is at `path` only once it is complete and on the disk. Nothing is compressed."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            yield archive
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
