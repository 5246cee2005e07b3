"""The files of a zip, a tar or a folder, listed and read without ever writing one under a name it chose.

Whatever a stranger packs is either an entry that can be read into memory, capped, or a refusal with its
reason. Only what makes the whole source unusable raises (JobError). No torch.
"""

from __future__ import annotations

import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from mmfrm.data import torn_zip
from mmfrm.data.native import Refusal
from mmfrm.failures import JobError

MAX_NAME_BYTES = 1024
MAX_DEPTH = 32
MAX_FILE_BYTES = 256 * 2**20  # of one image
MAX_RATIO = 200  # unpacked to packed; photographs reach 2, drawings 50
RATIO_FREE_BYTES = 4 * 2**20  # smaller files may be as dense as they like
READ_ERRORS = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_JUNK_NAMES = {"thumbs.db", "desktop.ini", ".ds_store"}


class UnreadableError(ValueError):
    """One entry cannot be read. The text is the reason, for people."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file inside a source."""

    name: str  # clean relative path, forward slashes
    size: int  # bytes, as declared
    at: int  # where the source finds it


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


def open_archive(path: Path, *, max_files: int, max_total_bytes: int) -> Archive:
    """List a source. Raises JobError where it is no archive, or breaks a cap as a whole."""
    archive: Archive
    if path.is_dir():
        archive = _Folder(path, max_files)
    elif zipfile.is_zipfile(path):
        archive = _Zip(path, max_files)
    elif tarfile.is_tarfile(path):
        archive = _Tar(path, max_files, max_total_bytes)
    elif _begins_as_zip(path):
        archive = _TornZip(path, max_files)
    else:
        raise JobError(
            f"{path.name} is neither a zip, a tar nor a folder, or it is damaged or incomplete. "
            "Upload it again, or unpack it and give the folder.",
            resumable=False,
        )
    total = sum(entry.size for entry in archive.entries)
    if total > max_total_bytes:
        raise JobError(
            f"{path.name} unpacks to {total:,} bytes; at most {max_total_bytes:,} are allowed.",
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


class _Zip:
    def __init__(self, path: Path, max_files: int) -> None:
        _cap_directory(path, max_files)
        try:
            self._zip = zipfile.ZipFile(path)
        except READ_ERRORS as error:
            text = f"{path.name} is a damaged or incomplete zip ({error}). Make or upload it again."
            raise JobError(text, resumable=False) from error
        self.identity = file_identity(path)
        self._infos = self._zip.infolist()
        _cap_count(path, len(self._infos), max_files)
        self.refusals: list[Refusal] = []
        found = _Names(self.refusals)
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


class _TornZip:
    def __init__(self, path: Path, max_files: int) -> None:
        self.identity = file_identity(path)
        self._path = path
        self._members = list(torn_zip.walk(path, max_files))
        _cap_count(path, len(self._members), max_files)
        self.refusals: list[Refusal] = []
        found = _Names(self.refusals)
        found.refuse(
            "(rest of the archive)", "the zip is damaged or incomplete: what could be read was taken"
        )
        for at, member in enumerate(self._members):
            if not member.name.endswith("/"):
                dense = _is_dense(member.size, member.packed)
                found.add(member.name, member.size, at, _BOMB if dense else None)
        self.entries = sorted(found.entries, key=lambda entry: entry.name)

    def open(self, entry: Entry) -> IO[bytes]:
        return torn_zip.open_member(self._path, self._members[entry.at], MAX_FILE_BYTES)

    def close(self) -> None:
        self._members, self.entries = [], []


class _Tar:
    def __init__(self, path: Path, max_files: int, max_total_bytes: int) -> None:
        self.identity = file_identity(path)
        self._tar = tarfile.open(path)  # noqa: SIM115 - closed by close()
        self.refusals: list[Refusal] = []
        found = _Names(self.refusals)
        limit = min(max_total_bytes, max(2**30, MAX_RATIO * path.stat().st_size))
        for count, member in enumerate(self._members(found.refuse)):
            _cap_count(path, count, max_files)
            if member.offset_data + member.size > limit:
                text = f"{path.name} unpacks to more than {limit:,} bytes, which looks like a bomb."
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


class _Folder:
    def __init__(self, path: Path, max_files: int) -> None:
        self._root = path
        self.refusals: list[Refusal] = []
        found = _Names(self.refusals)
        digest = sha256()
        self._paths: list[str] = []
        for full, relative in _walk(path):
            _cap_count(path, len(self._paths), max_files)
            state = os.lstat(full)
            problem = None if stat.S_ISREG(state.st_mode) else "a link or a device, not a file"
            name = os.fsencode(relative).decode("utf-8", "replace")
            found.add(name, state.st_size, len(self._paths), problem)
            self._paths.append(full)
            digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
        self.identity = f"{path.name} {digest.hexdigest()}"
        self.entries = sorted(found.entries, key=lambda entry: entry.name)

    def open(self, entry: Entry) -> IO[bytes]:
        descriptor = os.open(self._paths[entry.at], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        return os.fdopen(descriptor, "rb")

    def close(self) -> None:
        self._paths, self.entries = [], []


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


class _Names:
    """Sorts what is found into entries and refusals."""

    def __init__(self, refusals: list[Refusal]) -> None:
        self.entries: list[Entry] = []
        self._refusals = refusals
        self._seen: set[str] = set()

    def refuse(self, name: str, reason: str) -> None:
        self._refusals.append(Refusal(printable(name)[:MAX_NAME_BYTES], "refused", reason))

    def add(self, raw_name: str, size: int, at: int, problem: str | None) -> None:
        name = printable(raw_name)
        problem = problem or _name_problem(name)
        if problem is None and name in self._seen:
            problem = "the name occurs twice; the first one was taken"
        if problem is not None:
            self.refuse(name, problem)
        elif is_junk(name):
            self._refusals.append(Refusal(name, "skipped", "left behind by an operating system"))
        else:
            self._seen.add(name)
            self.entries.append(Entry(name, size, at))


def printable(name: str) -> str:
    """A name without control characters, lone surrogates or backslashes; never used as a path."""
    slashed = name.replace("\\", "/")
    if slashed.isprintable():
        return slashed
    return "".join(c if c.isprintable() else "\ufffd" for c in slashed)


def is_junk(name: str) -> bool:
    """Whether a file is no part of anyone's data set: resource forks, thumbnails, hidden files."""
    parts = name.lower().split("/")
    return "__macosx" in parts or parts[-1] in _JUNK_NAMES or parts[-1].startswith("._")


def is_archive_name(name: str) -> bool:
    """Whether a file inside an archive is one itself; those are not opened."""
    return name.lower().endswith(_ARCHIVES)


def file_identity(path: Path) -> str:
    """Changes when a file does."""
    state = path.stat()
    return f"{path.name} {state.st_size} {state.st_mtime_ns}"


def _name_problem(name: str) -> str | None:
    parts = name.split("/")
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "an absolute path"
    if ".." in parts:
        return "a path that leads out of the archive"
    if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES or len(parts) > MAX_DEPTH:
        return "the path is too long"
    return None if parts[-1] else "no name"


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
    return _BOMB if _is_dense(info.file_size, info.compress_size) else None


_BOMB = f"unpacks to more than {MAX_RATIO} times its size, which looks like a bomb"


def _is_dense(size: int, packed: int) -> bool:
    return size > RATIO_FREE_BYTES and size > MAX_RATIO * max(packed, 1)


def _begins_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


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


def _walk(root: Path) -> Iterator[tuple[str, str]]:
    """Full and relative paths of everything but folders, in order; links are named, never followed."""
    for folder, below, files in os.walk(root, followlinks=False):
        below.sort()
        links = [name for name in below if (Path(folder) / name).is_symlink()]
        for name in sorted([*files, *links]):
            full = f"{folder}/{name}"
            yield full, os.path.relpath(full, root)


def _cap_count(path: Path, count: int, max_files: int) -> None:
    if count > max_files:
        text = f"{path.name} holds more than {max_files:,} files. Split it, or raise the limit."
        raise JobError(text, resumable=False)


def _cap_directory(path: Path, max_files: int) -> None:
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
        _cap_count(path, count if count != 0xFFFF else 0, max_files)
        _cap_count(path, declared // (46 + MAX_NAME_BYTES), max_files)
