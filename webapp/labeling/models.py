"""Batches of photos labelled by a model, and what people say of the labels."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.db import models

from webapp.accounts.models import Owned
from webapp.datasets.models import DatasetVersion
from webapp.experiments.models import Run
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
    labels_wanted = models.PositiveSmallIntegerField(default=1)  # people who answer for each face, apart

    class Meta:
        ordering: ClassVar = ["-created_at"]
        verbose_name_plural = "label batches"

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        """The job folder: faces.pack, perhaps photos.pack, predictions.csv and predictions.jsonl."""
        return Path(settings.DATA_DIR) / "jobs" / str(self.job_id)


def shuffled() -> int:
    """A face's place in the random order, drawn when its row is made: no reviewer chooses it."""
    return random.SystemRandom().getrandbits(31)


class Verdict(models.TextChoices):
    """What a person says of a face."""

    NOTHING = "", "Not reviewed"
    LABEL = "label", "Labelled"
    NOT_A_FACE = "not_a_face", "Not a face"
    UNSURE = "unsure", "Unsure"
    SKIPPED = "skipped", "Skipped"
    CONFLICT = "conflict", "In conflict"  # of a face, where those who were asked disagree; nobody says it


SAYABLE = (Verdict.LABEL, Verdict.NOT_A_FACE, Verdict.UNSURE, Verdict.SKIPPED)


class Prediction(models.Model):
    """Class probabilities of one face, or the reason why there are none; and how its review stands.

    `verdict`, `corrected`, `reviewed_by` and `reviewed_at` repeat what holds after its Corrections, and
    `answers` how many people have answered, for filters. What holds is decided in `standing`.
    """

    batch = models.ForeignKey(LabelBatch, on_delete=models.CASCADE, related_name="predictions")
    index = models.PositiveIntegerField()
    picture = models.PositiveIntegerField(null=True, blank=True)  # its photo's place in the source, from 0
    file = models.CharField(max_length=500)
    box = models.JSONField(null=True, blank=True)
    face = models.PositiveIntegerField(null=True, blank=True)  # its place in its photo, from 0
    faces = models.PositiveIntegerField(null=True, blank=True)  # of its photo; 0: none was found
    detection = models.FloatField(null=True, blank=True)  # how sure the detector was, 0…1
    photo = models.JSONField(null=True, blank=True)  # offset, length in photos.pack; width, height
    probabilities = models.JSONField(null=True, blank=True)
    label = models.PositiveSmallIntegerField(null=True, blank=True)
    confidence = models.FloatField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    offset = models.PositiveBigIntegerField(null=True, blank=True)  # of the crop in faces.pack
    length = models.PositiveIntegerField(null=True, blank=True)
    draw = models.PositiveIntegerField(default=shuffled)
    verdict = models.CharField(max_length=10, choices=Verdict.choices, blank=True, default="")
    corrected = models.PositiveSmallIntegerField(null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reviewed_at = models.DateTimeField(null=True, blank=True)
    answers = models.PositiveSmallIntegerField(default=0)
    leased_to = models.CharField(max_length=60, blank=True, default="")  # a reviewer's page, see `review`
    leased_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["batch", "index"], name="one_prediction_an_index")
        ]
        indexes: ClassVar = [
            models.Index(fields=["batch", "label", "index"]),
            models.Index(fields=["batch", "confidence"]),
            models.Index(fields=["batch", "picture"], name="faces_of_a_photo"),
            models.Index(fields=["batch", "verdict", "confidence"], name="faces_least_confident"),
            models.Index(fields=["batch", "verdict", "draw"], name="faces_at_random"),
            # All that a review's standing counts: it is asked for with every answer, of any number of faces.
            models.Index(fields=["batch", "verdict", "label", "corrected", "answers"], name="faces_counted"),
        ]

    def __str__(self) -> str:
        return self.file


class Correction(models.Model):
    """One word of one person about one face. Rows are only ever added.

    Where one label a face is wanted, the latest holds. Where several are, each person's latest is an answer,
    and a row that `decides` settles what they disagree on.

    Taking something back is a row too: it says again what held before, and what it takes back.
    """

    prediction = models.ForeignKey(Prediction, on_delete=models.CASCADE, related_name="corrections")
    key = models.UUIDField(default=uuid.uuid4, unique=True)  # made by the page, so that sending twice is once
    verdict = models.CharField(max_length=10, choices=Verdict.choices, blank=True)
    label = models.PositiveSmallIntegerField(null=True, blank=True)  # where the verdict is `label`
    undoes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="undone_by"
    )
    decides = models.BooleanField(default=False)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    said_at = (
        models.DateTimeField()
    )  # by our clock, never later than `at`: it may have waited for a connection
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        indexes: ClassVar = [models.Index(fields=["prediction", "id"], name="corrections_of_a_face")]

    def __str__(self) -> str:
        return f"{self.verdict or 'nothing'} on {self.prediction_id}"


class Answer(models.Model):
    """What one person says of one face now: repeats the person's latest Correction that does not decide."""

    prediction = models.ForeignKey(Prediction, on_delete=models.CASCADE, related_name="said_by")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    label = models.PositiveSmallIntegerField(null=True, blank=True)
    said_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["prediction", "by"], name="one_answer_a_person")
        ]

    def __str__(self) -> str:
        return f"{self.by}: {self.verdict} on {self.prediction_id}"


class SecondOpinion(models.Model):
    """Another model's view of a batch's faces, for the order in which people review them."""

    batch = models.ForeignKey(LabelBatch, on_delete=models.CASCADE, related_name="second_opinions")
    model = models.ForeignKey(Model, null=True, on_delete=models.SET_NULL, related_name="+")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="second_opinion")
    model_name = models.CharField(max_length=200)  # these two outlive the model
    classes = models.JSONField()

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.batch} by {self.model_name}"


class Opinion(models.Model):
    """What the other model says of one face."""

    second = models.ForeignKey(SecondOpinion, on_delete=models.CASCADE, related_name="opinions")
    prediction = models.ForeignKey(Prediction, on_delete=models.CASCADE, related_name="opinions")
    probabilities = models.JSONField()
    disagreement = models.FloatField()  # 0 where both models say the same, 1 where nothing is shared

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["second", "prediction"], name="one_opinion_a_face")
        ]
        indexes: ClassVar = [models.Index(fields=["second", "-disagreement"], name="faces_models_differ_on")]

    def __str__(self) -> str:
        return f"{self.second} on {self.prediction_id}"


class MadeDataset(models.Model):
    """A version of a data set that was made of a batch's faces, and by which rule."""

    batch = models.ForeignKey(LabelBatch, null=True, on_delete=models.SET_NULL, related_name="datasets")
    version = models.OneToOneField(DatasetVersion, on_delete=models.CASCADE, related_name="made_of")
    with_confident = models.BooleanField(default=False)
    threshold = models.FloatField(default=0.9)
    split = models.CharField(max_length=8, blank=True, default="")  # of added faces; "": made of them alone
    mapping = models.JSONField(default=dict)  # class of the model -> class of the data set, "" leaves it out

    def __str__(self) -> str:
        return f"{self.version} of {self.batch}"


class BeforeAfter(models.Model):
    """A run that began with a model, and that model, on the test faces of the run's data set."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="before_after")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="before_after")
    report = models.JSONField(default=dict)  # mmfrm.compare's comparison.json, once it is there

    def __str__(self) -> str:
        return f"Before and after {self.run}"

    @property
    def folder(self) -> Path:
        return Path(settings.DATA_DIR) / "jobs" / str(self.job_id)
