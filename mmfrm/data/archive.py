"""The files of a zip, a tar or a folder, listed and read without ever writing one under a name it chose.

Whatever a stranger packs is either an entry that can be read into memory, capped, or a refusal with its
reason. Only what makes the whole source unusable raises (JobError). No torch.
"""

from __future__ import annotations

import os
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol

from mmfrm.data.entries import (
    MAX_FILE_BYTES,
    READ_ERRORS,
    Entry,
    Names,
    UnreadableError,
    cap_count,
    file_identity,
    is_archive_name,
    is_junk,
    printable,
)
from mmfrm.data.native import Refusal
from mmfrm.data.tar_members import is_tar
from mmfrm.data.tars import Tar
from mmfrm.data.tree import OURS, files_below
from mmfrm.data.zips import TornZip, Zip, begins_as_zip
from mmfrm.failures import JobError

__all__ = [
    "MAX_FILE_BYTES",
    "READ_ERRORS",
    "Archive",
    "Entry",
    "LoneFile",
    "UnreadableError",
    "is_archive_name",
    "is_junk",
    "open_archive",
    "printable",
    "read",
]


class Archive(Protocol):
    """A source of files."""

    entries: list[Entry]  # by name; by position for tars, which can only be read forwards
    refusals: list[Refusal]
    identity: str  # changes when the source does

    def open(self, entry: Entry) -> IO[bytes]:
        """The unpacked content as a stream. May raise any of READ_ERRORS, also while reading."""
        ...

    def close(self) -> None:
        """Close the underlying file and forget its list, which is large for a large one."""
        ...


def open_archive(path: Path, *, max_files: int, max_total_bytes: int, called: str = "") -> Archive:
    """List a source. Raises JobError where it is no archive, or breaks a cap as a whole.

    `called`: what people call it, where its path says them nothing, as of uploads.
    """
    archive: Archive
    name = called or path.name
    if path.is_dir():
        archive = _Folder(path, max_files, name)
    elif zipfile.is_zipfile(path):
        archive = Zip(path, max_files, name)
    elif is_tar(path):
        archive = Tar(path, max_files, max_total_bytes, name)
    elif begins_as_zip(path):
        archive = TornZip(path, max_files, name)
    else:
        raise JobError(
            f"{name} is neither a zip, a tar nor a folder, or it is damaged or incomplete. "
            "Upload it again, or unpack it and give the folder.",
            resumable=False,
        )
    total = sum(entry.size for entry in archive.entries)
    if total > max_total_bytes:
        raise JobError(
            f"{name} unpacks to {total:,} bytes; at most {max_total_bytes:,} are allowed.",
            resumable=False,
        )
    return archive


def read(archive: Archive, entry: Entry, limit: int = MAX_FILE_BYTES) -> bytes:
    """The whole content of an entry. Raises UnreadableError with the reason."""
    if entry.size > limit:
        raise UnreadableError(f"{entry.size:,} bytes; at most {limit:,} are allowed")
    try:
        with archive.open(entry) as file:
            data = file.read(limit + 1)
    except READ_ERRORS as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UnreadableError(f"cannot be read from the archive ({reason})") from error
    if len(data) > limit:
        raise UnreadableError(f"more than {limit:,} bytes, though fewer were declared")
    if len(data) < entry.size:
        raise UnreadableError(f"ends after {len(data):,} of {entry.size:,} bytes")
    return data


class LoneFile:
    """One file as a source, under the name that people know it by. What lies beside it is not looked at."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self.refusals: list[Refusal] = []
        self.entries = [Entry(printable(name), path.stat().st_size, 0)]
        self.identity = file_identity(path)

    def open(self, entry: Entry) -> IO[bytes]:
        return self._path.open("rb")

    def close(self) -> None:
        self.entries = []


class _Folder:
    def __init__(self, path: Path, max_files: int, called: str) -> None:
        self._root = path
        self.refusals: list[Refusal] = []
        found = Names(self.refusals)
        digest = sha256()
        ours: list[str] = []
        self._paths: list[str] = []
        for file in files_below(path, ours):
            cap_count(called, len(self._paths), max_files)
            problem = None if file.is_plain else "a link or a device, not a file"
            found.add(file.name, file.size, len(self._paths), problem)
            self._paths.append(file.path)
            digest.update(file.state())
        self.identity = f"{path.name} {digest.hexdigest()}"  # as `tree.folder_identity` has it
        self.refusals += [Refusal(printable(name), "skipped", OURS) for name in ours]
        self.entries = sorted(found.entries, key=lambda entry: entry.name)

    def open(self, entry: Entry) -> IO[bytes]:
        descriptor = os.open(self._paths[entry.at], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        return os.fdopen(descriptor, "rb")

    def close(self) -> None:
        self._paths, self.entries = [], []
