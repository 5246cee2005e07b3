"""What is known of files on their way in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, QuerySet, Sum

from webapp.accounts.models import User
from webapp.uploads.models import Upload


@dataclass(frozen=True)
class Room:
    """How many bytes somebody may still send."""

    most: int  # a file
    quota_left: int  # of the person's quota
    disk_left: int  # on the server, after its reserve and what other uploads were promised

    @property
    def largest(self) -> int:
        """The largest file that would be taken now."""
        return max(0, min(self.most, self.quota_left, self.disk_left))


def own(user: User) -> QuerySet[Upload]:
    """Somebody's uploads. Nobody sees another's, administrators neither: they are not shared yet."""
    return Upload.objects.filter(owner=user)


def unfinished(user: User) -> QuerySet[Upload]:
    """Uploads that can be gone on with, the latest first."""
    return own(user).filter(claimed_at=None).order_by("-touched_at")


def room(user: User) -> Room:
    """Counts what uploads were announced with, not what has arrived: promised room is taken."""
    taken = own(user).aggregate(total=Sum("size"))["total"] or 0
    promised = Upload.objects.filter(finished_at=None).aggregate(total=Sum(F("size") - F("received")))
    free = shutil.disk_usage(settings.DATA_DIR).free - settings.DISK_RESERVE_BYTES
    return Room(
        most=settings.UPLOAD_MAX_BYTES,
        quota_left=max(0, settings.UPLOAD_QUOTA_BYTES - taken),
        disk_left=max(0, free - (promised["total"] or 0)),
    )


def bytes_on_disk(upload: Upload) -> int | None:
    """How much has arrived, by the file itself; None where the file is gone."""
    try:
        return upload.path.stat().st_size
    except FileNotFoundError:
        return None


def keep() -> timedelta:
    """How long an upload that nobody goes on with is kept."""
    return timedelta(days=settings.UPLOAD_KEEP_DAYS)


def expires_at(upload: Upload) -> datetime:
    """When it will be swept unless it goes on."""
    return upload.touched_at + keep()
