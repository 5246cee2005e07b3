"""Making webhooks, and delivering what they are to be told."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from webapp.accounts.models import User
from webapp.accounts.permissions import may_view
from webapp.jobs import kinds
from webapp.jobs.models import Job
from webapp.news import messages, sending
from webapp.news.models import Delivery, Look, Webhook

# Seconds until the next try, after the first, the second, …; then it is given up.
PAUSES = (10, 60, 300, 1800, 7200, 21600)
LEASE = timedelta(seconds=60)  # in which nobody else tries the same one: longer than a try can take
KEPT = timedelta(days=30)
AT_ONCE = 20
VISIT = timedelta(minutes=10)  # without a look, after which the next one is another visit


# --- by people ------------------------------------------------------------------------------------


def create_webhook(owner: User, *, base_url: str, **fields: Any) -> Webhook:
    """A webhook with a secret of its own."""
    return Webhook.objects.create(
        owner=owner, private=True, base_url=base_url.rstrip("/"), secret=_secret(), **fields
    )


def edit_webhook(webhook: Webhook, **fields: Any) -> None:
    """Change what it is told, and where."""
    Webhook.objects.filter(pk=webhook.pk).update(**fields)


def new_secret(webhook: Webhook) -> str:
    """Another secret; the old one signs nothing any more."""
    secret = _secret()
    Webhook.objects.filter(pk=webhook.pk).update(secret=secret)
    return secret


def test_webhook(webhook: Webhook) -> Delivery:
    """Send a message about nothing, as every other one is sent; also where the webhook is off."""
    return Delivery.objects.create(
        webhook=webhook, event="test", body=messages.of_test(webhook), try_at=timezone.now()
    )


def look(user: User, now: datetime | None = None) -> datetime:
    """Somebody looks at the home page. Answers when their visit before this one ended."""
    now = now or timezone.now()
    with transaction.atomic():
        row, _ = Look.objects.select_for_update().get_or_create(
            user=user, defaults={"at": now, "before": now}
        )
        if now - row.at > VISIT:
            row.before = row.at
        row.at = now
        row.save()
    return row.before


# --- by jobs --------------------------------------------------------------------------------------


def job_ended(job: Job) -> None:
    """Write down whom to tell. In the transaction that ends the job: both are true, or neither."""
    now = timezone.now()
    for webhook in Webhook.objects.filter(is_on=True).select_related("owner"):
        owner = webhook.owner
        if job.state not in webhook.states or (webhook.only_mine and job.owner_id != owner.pk):
            continue
        if owner.is_editor and may_view(owner, kinds.of(job).subject(job)):
            body = messages.of_job(webhook, job)
            Delivery.objects.create(webhook=webhook, job=job, event=f"job.{job.state}", body=body, try_at=now)


# --- by the postman -------------------------------------------------------------------------------


def deliver_due(now: datetime | None = None) -> int:
    """Try every delivery that is due, once. Answers how many were tried."""
    now = now or timezone.now()
    due = Delivery.objects.filter(state=Delivery.State.WAITING, try_at__lte=now)
    tried = 0
    for delivery in due.select_related("webhook").order_by("try_at")[:AT_ONCE]:
        tried += _try(delivery, now)
    return tried


def sweep(now: datetime | None = None) -> None:
    """Forget what was delivered, or given up, long ago."""
    old = Delivery.objects.filter(made_at__lt=(now or timezone.now()) - KEPT)
    old.exclude(state=Delivery.State.WAITING).delete()


def _try(delivery: Delivery, now: datetime) -> bool:
    mine = Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.WAITING, try_at=delivery.try_at)
    if not mine.update(try_at=now + LEASE, tries=F("tries") + 1):
        return False  # somebody else has it
    webhook = delivery.webhook
    if delivery.event != "test" and not (webhook.is_on and webhook.owner.is_editor):
        answer = sending.Answer(None, "The webhook was switched off meanwhile.", 0.0)
        _note(delivery, answer, state=Delivery.State.FAILED)
        return True
    answer = sending.send(
        webhook.url, secret=webhook.secret, event=delivery.event, key=str(delivery.key),
        body=delivery.body.encode(),
    )  # fmt: skip
    tries = delivery.tries + 1
    if answer.is_good:
        _note(delivery, answer, state=Delivery.State.DELIVERED)
    elif tries > len(PAUSES) or delivery.event == "test":
        _note(delivery, answer, state=Delivery.State.FAILED)
    else:
        _note(delivery, answer, try_at=now + timedelta(seconds=PAUSES[tries - 1]))
    return True


def _note(delivery: Delivery, answer: sending.Answer, **changes: Any) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(
        status=answer.status, said=answer.said, seconds=round(answer.seconds, 3), **changes
    )


def _secret() -> str:
    return secrets.token_urlsafe(32)
