"""Files on their way in, resumable (the tus protocol)."""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings
from django.db import models


class Upload(models.Model):
    """One file being received. The file's length on disk is the truth of how much has arrived."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="uploads")
    filename = models.CharField(max_length=255)  # for people; never a path on the server
    size = models.PositiveBigIntegerField()
    received = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField(auto_now_add=True)  # when bytes last came
    finished_at = models.DateTimeField(null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)  # somebody's job owns it now

    def __str__(self) -> str:
        return self.filename

    @property
    def path(self) -> Path:
        return Path(settings.DATA_DIR) / "uploads" / self.id.hex

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None


class UploadKey(models.Model):
    """What a program sends files with in somebody's name, and can do nothing else with. One a person."""

    owner = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="upload_key"
    )
    token_hash = models.CharField(max_length=64, unique=True)  # the key itself is shown once and not kept
    made_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True, blank=True)  # when an upload was last begun with it

    def __str__(self) -> str:
        return f"Upload key of {self.owner}"
