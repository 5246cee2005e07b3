"""What is left of a zip whose list of files is missing, as after an upload or a copy that broke off.

Each file in a zip is preceded by a header of its own; those are walked from the start until one does not
make sense. No torch.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from zipfile import BadZipFile

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_STORED, _DEFLATED = 0, 8
_PIECE = 2**16


@dataclass(frozen=True, slots=True)
class Member:
    """One file that was found."""

    name: str
    method: int
    encrypted: bool
    at: int  # of the packed bytes
    packed: int
    size: int
    crc: int


def walk(path: Path, max_files: int) -> Iterator[Member]:
    """Whole members, in order. Ends at the first that is torn, or after max_files + 1."""
    end = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        for _ in range(max_files + 1):
            file.seek(at)
            member = _member(file, at)
            if member is None or member.at + member.packed > end:
                return
            yield member
            at = _after(file, member)


def open_member(path: Path, member: Member, limit: int) -> IO[bytes]:
    """The unpacked content of a member, at most `limit` bytes. Raises BadZipFile."""
    if member.encrypted:
        raise BadZipFile("encrypted")
    with path.open("rb") as file:
        file.seek(member.at)
        packed = file.read(min(member.packed, limit))
    if member.method == _DEFLATED:
        data = zlib.decompressobj(-15).decompress(packed, limit)
    elif member.method == _STORED:
        data = packed
    else:
        raise BadZipFile(f"compression method {member.method} is not supported")
    if zlib.crc32(data) != member.crc:
        raise BadZipFile("the checksum is wrong")
    return io.BytesIO(data)


def _member(file: IO[bytes], at: int) -> Member | None:
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
        return None
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack(header)
    raw_name = file.read(name_size)
    start = at + _LOCAL.size + name_size + extra_size
    if flags & 0x8:  # sizes and checksum follow the data
        if method != _DEFLATED:
            return None
        file.seek(start)
        measured = _inflated(file)
        if measured is None:
            return None
        packed, size, crc = measured
    return Member(_text(raw_name), method, bool(flags & 0x1), start, packed, size, crc)


def _inflated(file: IO[bytes]) -> tuple[int, int, int] | None:
    """Packed size, size and checksum of a deflated stream, found by unpacking it; None where it is torn."""
    stream = zlib.decompressobj(-15)
    size = crc = packed = 0
    pending = b""
    while not stream.eof:
        piece = pending or file.read(_PIECE)
        if not piece:
            return None
        try:
            data = stream.decompress(piece, _PIECE)
        except zlib.error:
            return None
        pending = stream.unconsumed_tail
        packed += len(piece) - len(pending) - len(stream.unused_data)
        size += len(data)
        crc = zlib.crc32(data, crc)
    return packed, size, crc


def _after(file: IO[bytes], member: Member) -> int:
    """Where the next header begins: behind the data, and behind a data descriptor where there is one."""
    end = member.at + member.packed
    file.seek(end)
    near = file.read(24)
    return end + max(near.find(b"PK\x03\x04"), 0)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")
