"""What an archive holds: entries that may be read, names that are safe to show, and caps. No torch."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

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

TABLES = (".csv", ".tsv")
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


class Names:
    """Sorts what is found into entries and refusals."""

    def __init__(self, refusals: list[Refusal]) -> None:
        self.entries: list[Entry] = []
        self._refusals = refusals
        self._seen: set[str] = set()

    def refuse(self, name: str, reason: str) -> None:
        """List a file as refused."""
        self._refusals.append(Refusal(printable(name)[:MAX_NAME_BYTES], "refused", reason))

    def add(self, raw_name: str, size: int, at: int, problem: str | None) -> None:
        """List a file as an entry, or as refused for its problem or its name, or as junk."""
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


BOMB = f"unpacks to more than {MAX_RATIO} times its size, which looks like a bomb"


def is_dense(size: int, packed: int) -> bool:
    """Whether a file unpacks to far more than pictures do, and to much."""
    return size > RATIO_FREE_BYTES and size > MAX_RATIO * max(packed, 1)


def cap_count(name: str, count: int, max_files: int) -> None:
    """Raises JobError beyond the cap."""
    if count > max_files:
        text = f"{name} holds more than {max_files:,} files. Split it, or raise the limit."
        raise JobError(text, resumable=False)
