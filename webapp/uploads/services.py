"""Receiving files, piece by piece. The file's length on disk is the truth; the row remembers the rest.

One upload is written by one request at a time (flock on its file, so also across web processes on a
shared disk), each request appends what arrives, and whatever arrived before a cut stays.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.uploads import selectors
from webapp.uploads.models import Upload

log = logging.getLogger(__name__)
PIECE = 2**20  # bytes held in memory at once
PATIENCE = 5.0  # seconds that a request waits for an earlier one, cut or paused, to end


class UploadError(RefusedError):
    """An upload cannot go on. `status` is the HTTP one, the text is for people."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Readable(Protocol):
    """Where bytes come from: a request."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, empty at the end; OSError where the connection was cut."""


def create(user: User, *, filename: str, size: int) -> Upload:
    """Make room for a file. Raises UploadError where it is too large for the limit, quota or disk."""
    if size > settings.UPLOAD_MAX_BYTES:
        raise UploadError(413, f"The file is larger than {filesizeformat(settings.UPLOAD_MAX_BYTES)}.")
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two creations cannot both take the last of a quota
        room = selectors.room(user)
        if size > room.quota_left:
            left = filesizeformat(room.quota_left)
            raise UploadError(413, f"You have {left} left for uploads. Discard unfinished ones first.")
        if size > room.disk_left:
            raise UploadError(507, f"The server's disk has room for {filesizeformat(room.disk_left)} more.")
        upload = Upload.objects.create(owner=user, filename=filename, size=size)
        upload.path.parent.mkdir(parents=True, exist_ok=True)
        upload.path.touch(mode=0o600)
    if size == 0:
        _note(upload, 0)
    return upload


def receive(upload: Upload, *, offset: int, length: int | None, body: Readable) -> int:
    """Append a request's body at `offset`; answers the new offset.

    `length` is what the request says it carries. Raises UploadError: 409 where the offset is not the
    file's end, 413 for more bytes than the file has, 423 while another request writes, 507 for a full disk.
    """
    with _held(upload) as file:
        end = file.seek(0, os.SEEK_END)
        if offset != end:
            raise UploadError(409, f"The file has {end} bytes so far, not {offset}.")
        if length is not None and end + length > upload.size:
            raise UploadError(413, f"The file was announced with {upload.size} bytes; this is more.")
        try:
            _append(body, file, upload.size - end)
        finally:  # what came before a cut stays
            file.flush()
            os.fsync(file.fileno())
            end = file.tell()
            _note(upload, end)
    return end


def take_in(user: User, path: Path, *, filename: str) -> Upload:
    """Make a file of this machine an upload: it is moved, not copied. Raises UploadError as `create` does."""
    size = path.stat().st_size
    upload = create(user, filename=filename, size=size)
    shutil.move(path, upload.path)
    upload.path.chmod(0o600)
    _note(upload, size)
    return upload


def settled(upload: Upload) -> int:
    """How much has arrived, once no request writes any more. Raises UploadError: 410, 423.

    Where all has, the row hears of it: the process may have died between the last piece and its note, and
    no further piece would come that could tell.
    """
    with _held(upload) as file:
        end = file.seek(0, os.SEEK_END)
        if end == upload.size and not upload.is_finished:
            _note(upload, end)
    return end


def discard(upload: Upload) -> None:
    """Forget an upload and delete its bytes once the transaction is through."""
    path = upload.path
    Upload.objects.filter(pk=upload.pk).delete()
    transaction.on_commit(lambda: path.unlink(missing_ok=True))


def terminate(upload: Upload) -> None:
    """Discard an upload that its owner no longer wants. Raises UploadError while it is in use."""
    if upload.claimed_at is not None:
        raise UploadError(409, "This upload is being read by a job.")
    if selectors.bytes_on_disk(upload) is None:  # nobody writes what is gone, and its room is wanted back
        discard(upload)
        return
    with _held(upload):
        discard(upload)


def claim(user: User, pk: UUID | str) -> Upload:
    """Take a finished upload for good: whoever claims it also discards it. Raises UploadError."""
    with transaction.atomic():
        upload = selectors.own(user).select_for_update().filter(pk=pk).first()
        if upload is None:
            raise UploadError(404, "That upload is not there any more; choose the file again.")
        if not upload.is_finished or selectors.bytes_on_disk(upload) != upload.size:
            raise UploadError(409, f"{upload.filename} has not arrived whole yet.")
        if upload.claimed_at is not None:
            raise UploadError(409, f"{upload.filename} has been used already; upload it again.")
        upload.claimed_at = timezone.now()
        upload.save(update_fields=["claimed_at"])
    return upload


def sweep(now: datetime | None = None) -> int:
    """Discard what nobody went on with, and files without a row. Answers how many. Called hourly."""
    oldest = (now or timezone.now()) - selectors.keep()
    count = 0
    for upload in Upload.objects.filter(claimed_at=None, touched_at__lt=oldest):
        try:
            terminate(upload)
        except UploadError as refusal:  # just being written again
            log.info("upload %s stays: %s", upload.pk, refusal)
            continue
        count += 1
    return count + _sweep_files(oldest)


def _sweep_files(oldest: datetime) -> int:
    """Files whose row is gone: a kill came between the deletion of the two."""
    known = {pk.hex for pk in Upload.objects.values_list("pk", flat=True)}
    folder = Path(settings.DATA_DIR) / "uploads"
    count = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in known and path.stat().st_mtime < oldest.timestamp():
            path.unlink(missing_ok=True)
            count += 1
    return count


@contextmanager
def _held(upload: Upload) -> Iterator[BinaryIO]:
    """The upload's file, open for appending, while nobody else has it."""
    try:
        file = upload.path.open("r+b")
    except FileNotFoundError:
        raise UploadError(410, "The bytes of this upload are gone; choose the file again.") from None
    with file:
        give_up_at = time.monotonic() + PATIENCE
        while not _locked(file):
            if time.monotonic() >= give_up_at:
                raise UploadError(423, "Another connection is sending this file.")
            time.sleep(0.02)
        yield file


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _append(body: Readable, file: BinaryIO, room: int) -> None:
    while piece := body.read(min(PIECE, room) or 1):
        if len(piece) > room:
            raise UploadError(413, "The request carries more bytes than the file was announced with.")
        if shutil.disk_usage(settings.DATA_DIR).free < settings.DISK_RESERVE_BYTES:
            raise UploadError(507, "The server's disk is full. Go on once there is room again.")
        file.write(piece)
        room -= len(piece)


def _note(upload: Upload, received: int) -> None:
    now = timezone.now()
    finished = upload.finished_at or (now if received == upload.size else None)
    rows = Upload.objects.filter(pk=upload.pk)
    rows.update(received=received, touched_at=now, finished_at=finished)
    upload.received, upload.touched_at, upload.finished_at = received, now, finished
