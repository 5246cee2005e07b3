"""Experiments and their runs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.db import models

from mmfrm import steering
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
    extended = models.IntegerField(default=0)  # epochs ordered beyond those of the config; below 0, fewer

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

    @property
    def epochs(self) -> int:
        """Of the whole training, as it is planned now."""
        return int(self.config["optim"]["epochs"]) + self.extended


class Estimate(Owned):
    """What trainings of one size cost on a worker's machine, measured before any of them ran."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="estimate")
    config = models.JSONField()  # of mmfrm.config.TrainConfig
    classes = models.PositiveIntegerField()
    size = models.CharField(max_length=200, db_index=True)  # see webapp.experiments.estimating.size_of

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return self.job.title


class Steering(models.Model):
    """Something that a person ordered of a run after its start, or noted beside its curve.

    The row is the truth: a worker passes the open ones on, and they hold when the trainer says so.
    """

    class Do(models.TextChoices):
        EXTEND = steering.EXTEND, "Another length"
        SCALE_RATE = steering.SCALE_RATE, "Learning rate times"
        SET_RATE = steering.SET_RATE, "Learning rate"
        STOP_AFTER = steering.STOP_AFTER, "Stop after an epoch"
        NOTE = "note", "Note"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steerings")
    number = models.PositiveIntegerField()  # within the run, from 1
    do = models.CharField(max_length=12, choices=Do.choices)
    value = models.FloatField()  # as in mmfrm.steering; of a note, its epoch from 0
    text = models.CharField(max_length=500, blank=True)  # of a note
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(auto_now_add=True)
    obeyed_at = models.DateTimeField(null=True, blank=True)
    step = models.PositiveBigIntegerField(null=True, blank=True)  # the first for which it holds
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    request_key = models.UUIDField(unique=True, editable=False)

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "number"], name="one_steering_a_number")
        ]

    def __str__(self) -> str:
        if self.do == self.Do.NOTE:
            return f"Epoch {self.value + 1:.0f}: {self.text}"
        return steering.in_words(self.do, self.value)
