"""Tars, plain or compressed, read forwards. No torch."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mmfrm.data.entries import MAX_RATIO, READ_ERRORS, Entry, Names, UnreadableError, cap_count, file_identity
from mmfrm.data.native import Refusal
from mmfrm.data.tar_members import Member
from mmfrm.failures import JobError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Tar:
    """A tar under any compression Python knows. Raises JobError for bombs and for too many files."""

    def __init__(self, path: Path, max_files: int, max_total_bytes: int, name: str) -> None:
        self.identity = file_identity(path)
        self._tar = tarfile.open(path, tarinfo=Member)  # noqa: SIM115 - closed by close()
        self.refusals: list[Refusal] = []
        found = Names(self.refusals)
        limit = min(max_total_bytes, max(2**30, MAX_RATIO * path.stat().st_size))
        for count, member in enumerate(self._members(found.refuse)):
            cap_count(name, count, max_files)
            if member.offset_data + member.size > limit:
                text = f"{name} unpacks to more than {limit:,} bytes, which looks like a bomb."
                raise JobError(text, resumable=False)
            if not member.isdir():
                found.add(_tar_name(member.name), member.size, member.offset_data, _tar_problem(member))
        self.entries = found.entries  # in the order of the archive: going back unpacks it all again

    def _members(self, refuse: Callable[[str, str], None]) -> Iterator[tarfile.TarInfo]:
        try:
            while (member := self._tar.next()) is not None:
                yield member
                self._tar.members.clear()  # type: ignore[attr-defined]  # they would pile up
        except (*READ_ERRORS, tarfile.TarError) as error:
            refuse("(rest of the archive)", f"the archive is damaged or incomplete from here on ({error})")

    def open(self, entry: Entry) -> IO[bytes]:
        raw = self._tar.fileobj
        if raw is None:
            raise UnreadableError("the archive is closed")
        raw.seek(entry.at)
        return io.BufferedReader(_Window(raw.read, entry.size))

    def close(self) -> None:
        self._tar.close()
        self.entries = []


class _Window(io.RawIOBase):
    """`size` bytes of a larger stream, from where it stands."""

    def __init__(self, read: Callable[[int], bytes], size: int) -> None:
        self._read, self._left = read, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._read(min(len(view), self._left))
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)


def _tar_name(name: str) -> str:
    """tarfile smuggles bytes that are no UTF-8 through as surrogates; show them as Latin-1."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8").removeprefix("./")
    except UnicodeError:
        return raw.decode("latin-1").removeprefix("./")


def _tar_problem(member: tarfile.TarInfo) -> str | None:
    if member.issparse():
        return "a sparse file"
    return None if member.isreg() else "a link or a device, not a file"
