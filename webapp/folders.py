"""Folders on their way to a browser."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Collection
from pathlib import Path

from django.http import Http404

from webapp.streams import StreamedFile


def zipped(folder: Path, filename: str, *, only: Collection[str] | None = None) -> StreamedFile:
    """A folder's files in one zip, as a download; `only` those names. 404 where there are none.

    Stored, not deflated: weights do not shrink. The zip lies in a nameless temporary file, so its
    length is known to the browser and nothing is left behind.
    """
    files = sorted(path for path in folder.glob("**/*") if path.is_file() and (not only or path.name in only))
    if not files:
        raise Http404
    archive = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for path in files:
            out.write(path, path.relative_to(folder))
    archive.seek(0)
    return StreamedFile(archive, as_attachment=True, filename=filename, content_type="application/zip")
