"""Models: checkpoints that somebody promoted, with their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from webapp.accounts.models import Owned
from webapp.datasets.models import DatasetVersion, Sample
from webapp.experiments.models import Run
from webapp.jobs.models import Job


class Model(Owned):
    """Weights to label with and to start from. Its folder outlives the run it came from."""

    name = models.CharField(max_length=200)
    run = models.OneToOneField(Run, null=True, blank=True, on_delete=models.SET_NULL, related_name="model")
    classes = models.JSONField()
    card = models.JSONField(default=dict)  # data, provenance, recipe, figures, limits
    shipped = models.CharField(max_length=64, blank=True, default="")  # SHA-256 of weights that came with us
    shipped_as = models.CharField(max_length=20, blank=True, default="")  # see `starter.kinds`

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["shipped"], condition=~models.Q(shipped=""), name="one_of_each_shipped_model"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        return Path(settings.DATA_DIR) / "models" / str(self.pk)


class ModelExport(models.Model):
    """A model made ready for other programs: ONNX that was proved, engines that were checked and timed."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="exports")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="export")
    version = models.ForeignKey(
        DatasetVersion, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )  # whose test faces show what reduced precision costs; none: no such check
    data_name = models.CharField(max_length=250, blank=True)  # outlives the version
    report = models.JSONField(default=dict)  # mmfrm.export's report.json, once it is there

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"Export of {self.model}"

    @property
    def folder(self) -> Path:
        return Path(settings.DATA_DIR) / "jobs" / str(self.job_id)

    @property
    def engines(self) -> list[dict[str, Any]]:
        """What the report says of engines, the fastest first: name, rate in faces a second, and the check."""
        checks, rates = self.report.get("engines", {}), self.report.get("images_per_second", {})
        rows = [{"name": n, "rate": rates.get(n), **checks.get(n, {})} for n in {**rates, **checks}]
        return sorted(rows, key=lambda row: (-(row["rate"] or 0.0), row["name"]))


class Scoring(models.Model):
    """One model asked about every face of a version, so that faces can be sorted by what it found."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="scorings")
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="scorings")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="scoring")
    judged = models.JSONField(default=dict)  # faces, doubtful, is_known: see `doubt.judge`; empty: not yet

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["version", "model"], name="one_scoring_a_model")
        ]

    def __str__(self) -> str:
        return f"{self.model} on {self.version}"


AS_FILTERED = ("index", "split", "label", "agreement", "flagged", "name")  # columns that samples have too


class Score(models.Model):
    """What a model said of one face."""

    scoring = models.ForeignKey(Scoring, on_delete=models.CASCADE, related_name="scores", db_index=False)
    sample = models.ForeignKey(Sample, on_delete=models.CASCADE, related_name="scores")
    answer = models.PositiveSmallIntegerField()  # index into the model's classes
    probabilities = models.JSONField()  # in the order of the model's classes
    confidence = models.FloatField()  # of the answer, 0…1
    # Both empty where the face has no label, or one that the model does not know.
    loss = models.FloatField(null=True)  # cross-entropy against the label, in nats
    disagreement = models.FloatField(null=True)  # how much surer of its answer than of the label; 0: the same
    doubt = models.FloatField(null=True)  # only of labels that are likely wrong, see `doubt.judge`
    # As the sample has them, which never change: with them an index answers a sort and every filter at once,
    # where a join of 200,000 faces took up to a second.
    index = models.PositiveIntegerField()
    split = models.CharField(max_length=8, blank=True)
    label = models.PositiveSmallIntegerField(null=True, blank=True)
    agreement = models.FloatField(null=True, blank=True)
    flagged = models.CharField(max_length=200, blank=True)
    name = models.CharField(max_length=500)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sample", "scoring"], name="one_score_a_face")
        ]
        indexes: ClassVar = [
            models.Index(fields=["scoring", "loss", *AS_FILTERED], name="faces_by_loss"),
            models.Index(fields=["scoring", "confidence", *AS_FILTERED], name="faces_by_confidence"),
            models.Index(fields=["scoring", "disagreement", *AS_FILTERED], name="faces_by_disagreement"),
            models.Index(
                fields=["scoring", "doubt", *AS_FILTERED],
                name="faces_by_doubt",
                condition=models.Q(doubt__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.confidence:.0%} {self.answer}"
