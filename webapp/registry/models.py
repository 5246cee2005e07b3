"""Models: checkpoints that somebody promoted, with their cards."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models

from webapp.accounts.models import Owned
from webapp.experiments.models import Run


class Model(Owned):
    """Weights to label with and to start from. Its folder outlives the run it came from."""

    name = models.CharField(max_length=200)
    run = models.OneToOneField(Run, null=True, blank=True, on_delete=models.SET_NULL, related_name="model")
    classes = models.JSONField()
    card = models.JSONField(default=dict)  # data, provenance, recipe, figures, limits

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        return Path(settings.DATA_DIR) / "models" / str(self.pk)
