"""The files below a folder that is a source: which are read, and what tells that one changed. No torch."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mmfrm.data.entries import TABLES
from mmfrm.data.native import CACHE

JOB = re.compile(rb'\{\s*"format": \d+,\s*"kind": "')  # as `mmfrm.jobs.write_job` begins
OURS = "a folder that this program wrote: name it itself to read what is in it"


@dataclass(frozen=True, slots=True)
class Found:
    """A file, link or device below a folder."""

    path: str  # to open it by
    name: str  # relative, with forward slashes
    size: int  # bytes
    changed: int  # nanoseconds
    is_plain: bool  # a file, and neither a link nor a device

    def state(self) -> bytes:
        """Other bytes when it is another file."""
        return f"{self.name} {self.size} {self.changed}\n".encode()


def files_below(root: Path, ours: list[str] | None = None) -> Iterator[Found]:
    """Everything below a folder but folders, in an order that repeats; links are named, never followed.

    Left out is what this program writes, or an import would read, and take for a change of its source, what
    it makes itself: caches, and folders of jobs and data sets. The latter's names are added to `ours`.
    """
    top = os.fspath(root)
    for folder, below, files in os.walk(top, followlinks=False):
        prefix = "" if folder == top else os.path.relpath(folder, top) + "/"
        if prefix and is_ours(Path(folder), files):
            below.clear()
            if ours is not None:
                ours.append(_text(prefix))
            continue
        below[:] = sorted(name for name in below if name != CACHE)
        links = [name for name in below if (Path(folder) / name).is_symlink()]
        for name in sorted([*files, *links]):
            found = _found(f"{folder}/{name}", prefix + name)
            if found is not None:
                yield found


def folder_around(source: Path) -> Path | None:
    """The folder that is read for a source: itself, or the one around a table; None for an archive."""
    if source.is_dir():
        return source
    return source.parent if source.suffix.lower() in TABLES else None


def folder_identity(root: Path) -> str:
    """Changes when a file below does; a look at each, some 10 µs."""
    digest = sha256()
    for file in files_below(root):
        digest.update(file.state())
    return f"{root.name} {digest.hexdigest()}"


def is_ours(folder: Path, files: Collection[str]) -> bool:
    """Whether a folder with these files in it is one of a job or a data set that this program wrote."""
    # dataset.json alone is also a name that others give, to labels beside their pictures.
    finished = "dataset.json" in files and "samples.jsonl" in files
    return finished or "import.lock" in files or ("job.json" in files and _is_job(folder / "job.json"))


def _is_job(file: Path) -> bool:
    # Others call their files so too, and their pictures must not go unread.
    try:
        with file.open("rb") as opened:
            return JOB.match(opened.read(100)) is not None
    except OSError:
        return False


def _found(path: str, name: str) -> Found | None:
    try:
        state = os.lstat(path)
    except FileNotFoundError:  # removed a moment ago
        return None
    return Found(path, _text(name), state.st_size, state.st_mtime_ns, stat.S_ISREG(state.st_mode))


def _text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")
