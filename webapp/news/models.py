"""Who hears that work has ended: other programs by webhooks, people by when they last looked."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models

from webapp.accounts.models import Owned
from webapp.jobs.models import Job


class Webhook(Owned):
    """An address that is told when jobs end. Private to its owner: the address may itself be a secret."""

    name = models.CharField(max_length=100)
    url = models.URLField(max_length=500)
    secret = models.CharField(max_length=64)  # shown once; kept, since every message is signed with it
    on_finished = models.BooleanField("Finished", default=True)
    on_failed = models.BooleanField("Failed", default=True)
    on_stopped = models.BooleanField("Stopped", default=False)
    only_mine = models.BooleanField(default=True)
    is_on = models.BooleanField(default=True)
    base_url = models.CharField(max_length=200)  # where its owner reached the house: links begin with it

    def __str__(self) -> str:
        return self.name

    @property
    def states(self) -> list[str]:
        """The states of a job of which it is told."""
        wanted = {"finished": self.on_finished, "failed": self.on_failed, "stopped": self.on_stopped}
        return [state for state, is_wanted in wanted.items() if is_wanted]


class Delivery(models.Model):
    """One message for a webhook, and how far it has come."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Given up"

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)  # the same at every try
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    event = models.CharField(max_length=20)  # job.finished, job.failed, job.stopped, test
    body = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    tries = models.PositiveIntegerField(default=0)
    try_at = models.DateTimeField()
    made_at = models.DateTimeField(auto_now_add=True)
    status = models.PositiveIntegerField(null=True)  # of the last answer
    said = models.CharField(max_length=300, blank=True)  # the last answer's beginning, or what went wrong
    seconds = models.FloatField(null=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["state", "try_at"], name="deliveries_due")]

    def __str__(self) -> str:
        return f"{self.event} to {self.webhook}"


class Look(models.Model):
    """When somebody last opened the home page, and the visit before that."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="look")
    at = models.DateTimeField()
    before = models.DateTimeField()  # the end of the visit before this one

    def __str__(self) -> str:
        return f"{self.user} at {self.at}"
