"""Experiments and their runs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.db import models

from mmfrm.config import TrainConfig
from mmfrm.schema import from_dict
from webapp.accounts.models import Owned
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Job


class Experiment(Owned):
    """A question, held open by several runs."""

    name = models.CharField(max_length=200)
    question = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name


class Run(Owned):
    """One training: config, seed, data-set version, code version."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="runs")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="run")
    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="runs")
    name = models.CharField(max_length=200)
    preset = models.CharField(max_length=20)
    config = models.JSONField()  # of mmfrm.config.TrainConfig
    facts = models.JSONField(default=dict)  # what the trainer said at its start: device, versions, counts
    best = models.JSONField(default=dict)  # epoch and validation figures of the best checkpoint
    test = models.JSONField(default=dict)  # figures of the test split, opened once at the end
    # Whose weights it began with: {"kind": "model" | "run", "id", "name"}; empty: from scratch. No foreign
    # key, because a run's history outlives the model it began with.
    start_from = models.JSONField(default=dict, blank=True)
    # A search's trials leave the test split closed: whoever chooses among many must not see it.
    opens_test = models.BooleanField(default=True)
    request_key = models.UUIDField(
        null=True, unique=True, editable=False
    )  # of the form; sent twice, made once

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        """The job folder: checkpoints, model/, events.jsonl."""
        return Path(settings.DATA_DIR) / "jobs" / str(self.job_id)

    @property
    def train_config(self) -> TrainConfig:
        return from_dict(TrainConfig, self.config)
