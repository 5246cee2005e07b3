"""Zips: whole ones, and what is left of torn ones. No torch."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path
from typing import IO

from mmfrm.data import torn_zip
from mmfrm.data.entries import (
    BOMB,
    MAX_FILE_BYTES,
    MAX_NAME_BYTES,
    READ_ERRORS,
    Entry,
    Names,
    cap_count,
    file_identity,
    is_dense,
)
from mmfrm.data.native import Refusal
from mmfrm.failures import JobError


class Zip:
    """A zip with a sound list of files. Raises JobError where it has none, or too many."""

    def __init__(self, path: Path, max_files: int, name: str) -> None:
        _cap_directory(path, max_files, name)
        try:
            self._zip = zipfile.ZipFile(path)
        except READ_ERRORS as error:
            text = f"{name} is a damaged or incomplete zip ({error}). Make or upload it again."
            raise JobError(text, resumable=False) from error
        self.identity = file_identity(path)
        self._infos = self._zip.infolist()
        cap_count(name, len(self._infos), max_files)
        self.refusals: list[Refusal] = []
        found = Names(self.refusals)
        for at, info in enumerate(self._infos):
            if not info.is_dir():
                found.add(_zip_name(info), info.file_size, at, _zip_problem(info))
        self.entries = sorted(found.entries, key=lambda entry: entry.name)

    def open(self, entry: Entry) -> IO[bytes]:
        return self._zip.open(self._infos[entry.at])

    def close(self) -> None:
        self._zip.close()
        self._zip.filelist, self._zip.NameToInfo = [], {}
        self._infos, self.entries = [], []


class TornZip:
    """A zip whose list of files is missing: whatever can be read from its beginning."""

    def __init__(self, path: Path, max_files: int, name: str) -> None:
        self.identity = file_identity(path)
        self._path = path
        self._members = list(torn_zip.walk(path, max_files))
        cap_count(name, len(self._members), max_files)
        self.refusals: list[Refusal] = []
        found = Names(self.refusals)
        found.refuse(
            "(rest of the archive)", "the zip is damaged or incomplete: what could be read was taken"
        )
        for at, member in enumerate(self._members):
            if not member.name.endswith("/"):
                dense = is_dense(member.size, member.packed)
                found.add(member.name, member.size, at, BOMB if dense else None)
        self.entries = sorted(found.entries, key=lambda entry: entry.name)

    def open(self, entry: Entry) -> IO[bytes]:
        return torn_zip.open_member(self._path, self._members[entry.at], MAX_FILE_BYTES)

    def close(self) -> None:
        self._members, self.entries = [], []


def _zip_name(info: zipfile.ZipInfo) -> str:
    """zipfile reads names without the UTF-8 flag as code page 437; many of them are UTF-8 all the same."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _zip_problem(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 0x1:
        return "encrypted"
    if kind not in (0, stat.S_IFREG):
        return "a link or a device, not a file"
    return BOMB if is_dense(info.file_size, info.compress_size) else None


def begins_as_zip(path: Path) -> bool:
    """Whether a file starts like a zip, even if it does not end like one."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _cap_directory(path: Path, max_files: int, name: str) -> None:
    """Refuse a zip by the size of its list of files before that list is read into memory.

    An entry takes 46 bytes and its name. The size stands in the end record, at most 64 KiB from the end.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65_557))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at >= 0 and len(tail) >= at + 16:
        count, size = struct.unpack_from("<HI", tail, at + 10)
        declared = size if size != 0xFFFFFFFF else 0  # zip64: the count is checked once it is read
        cap_count(name, count if count != 0xFFFF else 0, max_files)
        cap_count(name, declared // (46 + MAX_NAME_BYTES), max_files)
