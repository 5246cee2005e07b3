"""Every piece of work, as one state machine: trainings, imports, labelling, all alike."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models


class Job(models.Model):
    """A piece of work that a child process does. The row is the truth, messages are hints.

    queued → starting → running → finished | failed, with running → pausing → paused → queued and
    running → stopping → stopped. Failed, stopped and paused jobs can be resumed (→ queued). All
    transitions are in webapp.jobs.services.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        STARTING = "starting", "Starting"
        RUNNING = "running", "Running"
        PAUSING = "pausing", "Pausing"
        PAUSED = "paused", "Paused"
        STOPPING = "stopping", "Stopping"
        STOPPED = "stopped", "Stopped"
        FINISHED = "finished", "Finished"
        FAILED = "failed", "Failed"

    ACTIVE: ClassVar[tuple[str, ...]] = (
        State.STARTING,
        State.RUNNING,
        State.PAUSING,
        State.STOPPING,
    )  # a worker has it
    RESTING: ClassVar[tuple[str, ...]] = (State.PAUSED, State.STOPPED, State.FAILED)  # can be resumed
    OVER: ClassVar[tuple[str, ...]] = (State.STOPPED, State.FINISHED, State.FAILED)

    class Queue(models.TextChoices):
        GPU = "gpu", "Training"
        CPU = "cpu", "Everything else"

    LONGEST_TITLE: ClassVar[int] = 200  # letters

    kind = models.CharField(max_length=16)  # a name in webapp.jobs.kinds
    queue = models.CharField(max_length=8, choices=Queue.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    title = models.CharField(max_length=LONGEST_TITLE)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(auto_now_add=True)
    position = models.FloatField(default=0.0)  # in the queue; smaller is sooner
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    attempt = models.PositiveIntegerField(default=0)  # anything from an older attempt is a no-op
    losses = models.PositiveIntegerField(default=0)  # workers lost since the last checkpoint
    worker = models.CharField(max_length=200, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)

    last_seq = models.PositiveBigIntegerField(default=0)
    phase = models.CharField(max_length=100, blank=True)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    unit = models.CharField(max_length=40, blank=True)
    rate = models.FloatField(default=0.0)
    seconds_left = models.FloatField(null=True, blank=True)
    reason = models.TextField(blank=True)  # why it failed, stopped or waits, for people
    result = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["queue", "state", "position", "id"]),
            models.Index(fields=["state", "heartbeat_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"

    @property
    def is_active(self) -> bool:
        return self.state in self.ACTIVE

    @property
    def is_over(self) -> bool:
        return self.state in self.OVER

    @property
    def took_seconds(self) -> float | None:
        """From its first start to its end, waits between attempts included; None before both."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def share_done(self) -> float:
        """0…1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


class JobEvent(models.Model):
    """One thing a job said, or that happened to it. `seq` orders them within the job without gaps.

    Events with a `key` (an epoch's or a step's number) exist once a key: a resumed job that says
    epoch 3 again replaces it, under a new seq, so a browser that reads on from its last seq sees it.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=16)
    key = models.BigIntegerField(null=True, blank=True)
    attempt = models.PositiveIntegerField()
    at = models.DateTimeField()
    payload = models.JSONField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "seq"], name="one_event_a_seq"),
            models.UniqueConstraint(fields=["job", "kind", "key"], name="one_event_a_key"),
        ]
        # The few notices among the hundred thousand steps of a long run.
        indexes: ClassVar = [models.Index(fields=["job", "kind", "seq"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.seq} of job {self.job_id}"


class Worker(models.Model):
    """A process that takes jobs from a queue, and when it was last seen."""

    name = models.CharField(max_length=200, unique=True)
    queue = models.CharField(max_length=8)
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    facts = models.JSONField(default=dict)  # threads, device, memory
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
