"""Where pictures to label come from: a file, a folder, a zip, or a native data set. No torch.

A source lists its pictures once, in an order that a second look repeats, and then reads any of them by
position. Nothing is ever unpacked to disk, so that no path inside an archive can lead anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Protocol

from mmfrm.data.archive import (
    MAX_FILE_BYTES,
    Entry,
    UnreadableError,
    is_junk,
    open_archive,
    printable,
    read,
)
from mmfrm.data.native import CACHE, FacePack, is_native
from mmfrm.data.tree import is_ours
from mmfrm.data.zips import begins_as_zip
from mmfrm.failures import JobError
from mmfrm.images import ImageError

MAX_PICTURES = 2_000_000
MAX_TOTAL_BYTES = 2**40  # of a zip's files; each is read alone, so this only refuses what never ends


class Pictures(Protocol):
    """Encoded pictures in a fixed order. `read` may be called from several threads at once."""

    @property
    def names(self) -> Sequence[str]:
        """For people: relative, with forward slashes, plain UTF-8. Not always unique."""

    @property
    def identity(self) -> str:
        """Changes when the listing does, so that a resumed job never mixes up two sources."""

    def read(self, position: int) -> bytes:
        """Encoded bytes of one picture. Raises ImageError with the reason."""


def open_pictures(source: str | Path, remembered: Path | None = None, called: str = "") -> Pictures:
    """Look into a file, a folder, a zip or a native data-set folder.

    `remembered`: a file that keeps a folder's listing, so that files that come and go while a job is
    interrupted do not shift its rows. `called`: what people call it, where `source` says them nothing.
    Raises JobError where there is nothing to read.
    """
    path = Path(source)
    pictures: Pictures
    if is_native(path):
        pictures = PackedPictures(path)
    elif path.is_dir():
        pictures = FolderPictures(path, remembered)
    elif not path.is_file():
        raise JobError(f"{path} is not there: give an image, a folder of images or a zip.")
    elif zipfile.is_zipfile(path) or begins_as_zip(path):
        pictures = ZippedPictures(path, called)
    else:
        pictures = FilePictures(path.parent, [path.name])
        if called:
            pictures.names = [printable(called)]
    name = called or path
    if not pictures.names:
        raise JobError(f"{name} holds no files.", resumable=False)
    if len(pictures.names) > MAX_PICTURES:
        raise JobError(f"{name} holds more than {MAX_PICTURES:,} files: label it in parts.", resumable=False)
    return pictures


class FilePictures:
    """Files under a folder, by their relative paths."""

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self._root = root
        self._paths = paths
        self.names: Sequence[str] = [printable(p) for p in paths]
        self.identity = _digest(paths)

    def read(self, position: int) -> bytes:
        """Bytes of one file. Raises ImageError."""
        path = self._root / self._paths[position]
        try:
            if not path.is_file():
                raise ImageError("the file is not there (any more)" if not path.exists() else "not a file")
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ImageError(f"more than {MAX_FILE_BYTES // 2**20} MB")
            return path.read_bytes()
        except OSError as error:
            raise ImageError(f"cannot be read ({error.strerror or error})") from error


class FolderPictures(FilePictures):
    """Every file below a folder, by path. Links to files are followed, links to folders once.

    Left out are caches, and folders that this program wrote there: no photos of the user's are in them.
    """

    def __init__(self, root: Path, remembered: Path | None = None) -> None:
        if remembered is not None and remembered.is_file():
            paths = json.loads(remembered.read_text())
        else:
            paths = sorted(_files_below(root))
            if remembered is not None:
                part = remembered.with_name(remembered.name + ".part")
                part.write_text(json.dumps(paths))
                part.replace(remembered)
        super().__init__(root, paths)


def _files_below(root: Path) -> list[str]:
    found: list[str] = []
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        identity = (here.stat().st_dev, here.stat().st_ino)
        if identity in seen:  # a link back up, or a second way to the same folder
            folders.clear()
            continue
        seen.add(identity)
        if here != root and is_ours(here, files):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name != CACHE)
        relative = here.relative_to(root)
        names = ((relative / f).as_posix() for f in files)
        found += [n for n in names if not is_junk(n)]
    return found


class PackedPictures:
    """The faces of a native data set, in its order."""

    def __init__(self, folder: Path) -> None:
        self._pack = FacePack(folder)
        self.names: Sequence[str] = [printable(s.name) for s in self._pack.samples]
        self.identity = self._pack.description.fingerprint

    def read(self, position: int) -> bytes:
        """Bytes of one sample. Raises ImageError."""
        try:
            return self._pack.bytes_of(self._pack.samples[position])
        except ValueError as error:
            raise ImageError(str(error)) from error


class ZippedPictures:
    """Files of a zip, by name, with those that must not be read among them. Bytes are read when asked for.

    Of a damaged or incomplete zip, what can be read from its beginning, and a row that says so.
    """

    def __init__(self, path: Path, called: str = "") -> None:
        self._archive = open_archive(
            path, max_files=MAX_PICTURES, max_total_bytes=MAX_TOTAL_BYTES, called=called
        )
        refused = [(r.name, r.reason) for r in self._archive.refusals if r.verdict == "refused"]
        listed: list[tuple[str, Entry | str]] = [(e.name, e) for e in self._archive.entries]
        listed = sorted([*listed, *refused], key=itemgetter(0))
        self._what = [what for _, what in listed]  # an entry, or why there is none
        self.names: Sequence[str] = [name for name, _ in listed]
        self.identity = self._archive.identity

    def read(self, position: int) -> bytes:
        """Bytes of one entry, checked against its checksum. Raises ImageError."""
        what = self._what[position]
        if isinstance(what, str):
            raise ImageError(what)
        try:
            return read(self._archive, what)
        except UnreadableError as error:
            raise ImageError(str(error)) from error


def _digest(lines: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
