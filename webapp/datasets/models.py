"""Data sets, their immutable versions, and every face in them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.db import models

from webapp.accounts.models import Owned
from webapp.jobs.models import Job
from webapp.uploads.models import Upload

MOST_FLAG_LETTERS = 200  # of all flags of a face and the spaces about them; filters look in them


class Dataset(Owned):
    """A named collection of faces."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    is_drawn = models.BooleanField(default=False)  # parametric faces, not photographs
    # Rows of a version are gone, and the pixels that no other needs are still to be; see `erasing`.
    erase_wanted_at = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        return Path(settings.DATA_DIR) / "datasets" / str(self.pk)


class DatasetVersion(models.Model):
    """What runs refer to. Never changes once `ready_at` is set."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    note = models.CharField(max_length=300, blank=True)  # what changed
    why = models.CharField(max_length=500, blank=True)  # in the words of whoever made it
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children"
    )
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    layout = models.CharField(max_length=20, blank=True)  # what was recognised: ferplus, raf_db, …
    classes = models.JSONField(default=list)  # names, in label order
    vote_columns = models.JSONField(null=True, blank=True)
    counts = models.JSONField(default=dict)  # {split: {class: n}}, "" for unlabelled
    images = models.PositiveIntegerField(default=0)
    widest = models.PositiveIntegerField(null=True, blank=True)  # pixels, of the widest image
    fingerprint = models.CharField(max_length=64, blank=True)
    report = models.JSONField(default=dict)  # everything odd that the reader saw

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dataset", "number"], name="one_version_a_number")
        ]

    def __str__(self) -> str:
        return f"{self.dataset} v{self.number}"

    @property
    def folder(self) -> Path:
        """The native data-set folder that jobs read."""
        return self.dataset.folder / f"v{self.number}"


class DatasetImport(models.Model):
    """The job that fills a version: from an upload, or drawn."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="dataset_import")
    version = models.OneToOneField(DatasetVersion, on_delete=models.CASCADE, related_name="import_job")
    upload = models.ForeignKey(Upload, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    options = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"Import of {self.version}"


class Edit(models.Model):
    """What somebody wants changed in the next version: one act on many faces. Undone by deleting it."""

    class Action(models.TextChoices):
        EXCLUDE = "exclude", "Leave out"
        RELABEL = "relabel", "Relabel"
        TAG = "tag", "Tag"

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="edits")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=8, choices=Action.choices)
    value = models.CharField(max_length=60, blank=True)  # a class ("" for none), or a tag
    indices = models.JSONField(default=list)  # of samples

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.value} ({len(self.indices)})"


class Sample(models.Model):
    """One face of a version, with its label or votes. The pixels lie in a pack of the version's folder."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="samples")
    index = models.PositiveIntegerField()
    name = models.CharField(max_length=500)
    split = models.CharField(max_length=8, blank=True)
    label = models.PositiveSmallIntegerField(null=True, blank=True)
    votes = models.JSONField(null=True, blank=True)
    agreement = models.FloatField(null=True, blank=True)  # share of the votes on the commonest answer
    group = models.CharField(max_length=200, blank=True)
    pack = models.CharField(max_length=200)
    offset = models.PositiveBigIntegerField()
    length = models.PositiveIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    phash = models.CharField(max_length=16, blank=True)
    pixels = models.CharField(max_length=16, blank=True)  # equal for equal pixels, whatever the file format
    brightness = models.FloatField(default=0.0)
    sharpness = models.FloatField(default=0.0)
    box = models.JSONField(null=True, blank=True)  # x, y, width, height of the face in the photo it is from
    flags = models.JSONField(default=list)
    flagged = models.CharField(max_length=MOST_FLAG_LETTERS, blank=True)  # between spaces, for filters

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["version", "index"], name="one_sample_an_index")
        ]
        indexes: ClassVar = [
            models.Index(fields=["version", "split", "label", "index"]),
            # Answers every filter of the grid, in order, without a look at the rows themselves.
            models.Index(
                fields=["version", "index", "split", "label", "agreement", "flagged", "name"],
                name="samples_as_browsed",
            ),
            models.Index(fields=["version", "pixels"], name="samples_alike"),
        ]

    def __str__(self) -> str:
        return self.name


class AlikeGroup(models.Model):
    """Faces of a version that are the same picture, pixel by pixel or nearly. A face is in one at most."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="alike_groups")
    number = models.PositiveIntegerField()  # in the order of their first faces
    indices = models.JSONField()  # of samples, ascending
    training = models.JSONField(default=list)  # of these, the training ones, where another is held out
    keep = models.PositiveIntegerField()  # the one that stays when one is to stay: held out before training
    has_equal = models.BooleanField()  # at least two with the very same pixels
    is_across = models.BooleanField()  # in more than one split
    is_leaking = models.BooleanField()  # training faces among them, and held-out ones
    has_conflict = models.BooleanField()  # their labels differ

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["version", "number"], name="one_alike_group_a_number")
        ]

    def __str__(self) -> str:
        return f"{len(self.indices)} faces alike, from {self.indices[0]}"


class Refusal(models.Model):
    """A file of the source that did not arrive as it was, and why."""

    class Verdict(models.TextChoices):
        REFUSED = "refused", "Refused"
        REPAIRED = "repaired", "Repaired"
        SKIPPED = "skipped", "Skipped"

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="refusals")
    index = models.PositiveIntegerField()  # in the order of the source
    name = models.CharField(max_length=1000)
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    reason = models.CharField(max_length=500)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["version", "index"], name="one_refusal_an_index")
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"
