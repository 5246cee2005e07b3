"""From whatever a person names as their data to a native data-set folder. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from mmfrm.control import Control
from mmfrm.data.native import CACHE, is_native
from mmfrm.data.tree import folder_around, folder_identity
from mmfrm.events import Event, Failed, Progress
from mmfrm.failures import JobError
from mmfrm.jobs import ImportJob
from mmfrm.machine import cache_folder


def default_cache_folder(source: Path) -> Path:
    """Beside the data, or, where that may not be written, in the user's cache folder."""
    beside = source.resolve().parent
    # The mode is looked at too: root may write anywhere, also where it is not meant to.
    if os.access(beside, os.W_OK) and beside.stat().st_mode & 0o222:
        return beside / CACHE
    return cache_folder()


def native_folder(source: Path, cache: Path, progress: Callable[[Event], None] | None = None) -> Path:
    """The native data set of a source: itself, or one imported into the cache folder, once.

    Raises JobError where the source is missing or nothing can be imported from it.
    """
    if is_native(source):
        return source
    if not source.exists():
        raise JobError(f"{source} is not there. Name a native data-set folder, a zip, a folder or a CSV.")
    if (source / "import.json").is_file():
        raise JobError(f"{source} is an import that has not finished. Start the import again; it goes on.")
    folder = cache / f"{source.stem}-{_identity(source)}"
    if not is_native(folder):
        _import(source, folder, progress)
    return folder


def _identity(source: Path) -> str:
    """Names a source by its place, and size and time of all its files: a changed one is imported anew."""
    folder = folder_around(source)
    if folder is None:
        own = source.stat()
        state = f"{own.st_size} {own.st_mtime_ns}"
    else:  # its own time tells nothing of a picture further down
        state = folder_identity(folder)
    return sha256(f"{source.resolve()} {state}".encode()).hexdigest()[:12]


def _import(source: Path, folder: Path, progress: Callable[[Event], None] | None) -> None:
    from mmfrm.data.ingest import ingest

    for event in ingest(folder, ImportJob(source=str(source), out=str(folder)), Control()):
        if isinstance(event, Failed):
            raise JobError(event.message, resumable=event.resumable)
        if progress is not None and isinstance(event, Progress):
            progress(event)
