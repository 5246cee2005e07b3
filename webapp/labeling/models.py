"""Batches of photos labelled by a model, and what people say of the labels."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.db import models

from webapp.accounts.models import Owned
from webapp.jobs.models import Job
from webapp.registry.models import Model
from webapp.uploads.models import Upload


class LabelBatch(Owned):
    """One set of images labelled by one model. Its folder holds the pixels; deleting it deletes them."""

    name = models.CharField(max_length=200)
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="batches")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="label_batch")
    upload = models.ForeignKey(Upload, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    options = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        verbose_name_plural = "label batches"

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        """The job folder: faces.pack, predictions.csv and predictions.jsonl."""
        return Path(settings.DATA_DIR) / "jobs" / str(self.job_id)


class Prediction(models.Model):
    """Class probabilities of one face, or the reason why there are none."""

    batch = models.ForeignKey(LabelBatch, on_delete=models.CASCADE, related_name="predictions")
    index = models.PositiveIntegerField()
    file = models.CharField(max_length=500)
    box = models.JSONField(null=True, blank=True)
    probabilities = models.JSONField(null=True, blank=True)
    label = models.PositiveSmallIntegerField(null=True, blank=True)
    confidence = models.FloatField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    offset = models.PositiveBigIntegerField(null=True, blank=True)  # of the crop in faces.pack
    length = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["batch", "index"], name="one_prediction_an_index")
        ]
        indexes: ClassVar = [
            models.Index(fields=["batch", "label", "index"]),
            models.Index(fields=["batch", "confidence"]),
        ]

    def __str__(self) -> str:
        return self.file
