"""Where pictures to label come from: a file, a folder, a zip, or a native data set. No torch.

A source lists its pictures once, in an order that a second look repeats, and then reads any of them by
position. Nothing is ever unpacked to disk, so that no path inside an archive can lead anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mmfrm.data.native import FacePack, is_native
from mmfrm.failures import JobError
from mmfrm.images import ImageError

MAX_PICTURES = 2_000_000
MAX_FILE_BYTES = 256 * 2**20  # of one encoded picture; what is larger is no photo
MAX_NAME = 1000  # characters
MAX_RATIO = 200  # of unpacked to packed size; no photo is packed so well, a bomb is
_CLUTTER = frozenset({"thumbs.db", "desktop.ini"})
_CLUTTER_FOLDERS = ("__MACOSX", "@eaDir")


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
    interrupted do not shift its rows. `called`: the name of a single image.
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
    elif zipfile.is_zipfile(path):
        pictures = ZippedPictures(path)
    else:
        pictures = FilePictures(path.parent, [path.name])
        if called:
            pictures.names = [printable(called)]
    if not pictures.names:
        raise JobError(f"{path} holds no files.", resumable=False)
    if len(pictures.names) > MAX_PICTURES:
        raise JobError(f"{path} holds more than {MAX_PICTURES:,} files: label it in parts.", resumable=False)
    return pictures


def is_clutter(name: str) -> bool:
    """Whether this file was left by an operating system, not by a person."""
    *folders, last = name.split("/")
    hidden = last.startswith(".") or any(f in _CLUTTER_FOLDERS or f.startswith(".") for f in folders)
    return hidden or last.lower() in _CLUTTER or not last


def printable(name: str) -> str:
    """A file name as text that can be written anywhere: undecodable bytes and control characters replaced."""
    # Surrogates, which stand for undecodable bytes in file names, are not printable either.
    return "".join(c if c.isprintable() else "�" for c in name.replace("\\", "/"))


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
    """Every file below a folder, by path. Links to files are followed, links to folders once."""

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
        folders.sort()
        relative = here.relative_to(root)
        names = ((relative / f).as_posix() for f in files)
        found += [n for n in names if not is_clutter(n)]
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
    """Files of a zip, by name. Only its directory is held; bytes are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                infos = [i for i in archive.infolist() if not i.is_dir() and not is_clutter(i.filename)]
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise JobError(f"{path.name} is not a sound zip ({error}). Pack it again.") from error
        self._infos = sorted(infos, key=lambda i: (i.filename, i.header_offset))
        self._file = path.open("rb")
        self.names: Sequence[str] = [printable(i.filename)[:MAX_NAME] for i in self._infos]
        self.identity = _digest([f"{i.filename} {i.CRC} {i.file_size}" for i in self._infos])

    def read(self, position: int) -> bytes:
        """Bytes of one entry, checked against its checksum. Raises ImageError."""
        info = self._infos[position]
        _refuse_entry(info)
        try:
            # Our own reading of stored and deflated entries: zipfile's goes through a lock and six objects,
            # and would take longer than decoding a small face does.
            data = _inflated(self._packed_bytes(info), info)
        except (OSError, struct.error, zlib.error) as error:
            raise ImageError(f"torn in the archive ({error})") from error
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise ImageError("torn in the archive (its checksum differs)")
        return data

    def _packed_bytes(self, info: zipfile.ZipInfo) -> bytes:
        header = os.pread(self._file.fileno(), 30, info.header_offset)
        signature, name, extra = struct.unpack("<4s22xHH", header)
        if signature != b"PK\x03\x04":
            raise ImageError("torn in the archive (no header where the directory says)")
        return os.pread(self._file.fileno(), info.compress_size, info.header_offset + 30 + name + extra)


def _refuse_entry(info: zipfile.ZipInfo) -> None:
    mode = info.external_attr >> 16
    if mode & 0o170000 == 0o120000:
        raise ImageError("a link, not a file")
    if info.flag_bits & 0x1:
        raise ImageError("encrypted")
    if len(info.filename) > MAX_NAME:
        raise ImageError(f"its name has more than {MAX_NAME} characters")
    if info.file_size > MAX_FILE_BYTES or info.compress_size > MAX_FILE_BYTES:
        raise ImageError(f"more than {MAX_FILE_BYTES // 2**20} MB")
    if info.file_size > 2**22 and info.file_size > MAX_RATIO * info.compress_size:
        raise ImageError(f"packed more than {MAX_RATIO}-fold, as bombs are")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImageError(f"packed by method {info.compress_type}, which few programs read; pack it again")


def _inflated(packed: bytes, info: zipfile.ZipInfo) -> bytes:
    if info.compress_type == zipfile.ZIP_STORED:
        return packed
    # One byte more than promised is enough to notice a bomb; the rest is never produced.
    return zlib.decompressobj(-15).decompress(packed, info.file_size + 1)


def _digest(lines: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
