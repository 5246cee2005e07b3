"""What pages and sockets read of jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from webapp.accounts.models import User
from webapp.accounts.permissions import may_view
from webapp.jobs import kinds
from webapp.jobs.models import Job, JobEvent, Worker


def may_watch(user: User, job: Job) -> bool:
    """A job is seen by whoever sees the thing it works for."""
    return may_view(user, kinds.of(job).subject(job))


def events_after(job_id: int, seq: int, limit: int = 500) -> list[dict[str, Any]]:
    """A job's events after `seq`, in order, at most `limit`."""
    rows = JobEvent.objects.filter(job_id=job_id, seq__gt=seq).order_by("seq")[:limit]
    return [as_message(row) for row in rows]


def as_message(row: JobEvent) -> dict[str, Any]:
    """An event as browsers get it."""
    return {"seq": row.seq, "kind": row.kind, "key": row.key, "at": row.at.isoformat(), **row.payload}


def snapshot(job: Job) -> dict[str, Any]:
    """What the head of a job's page shows, as browsers get it."""
    return {
        "id": job.pk,
        "state": job.state,
        "label": job.get_state_display(),
        "phase": job.phase,
        "done": job.done,
        "total": job.total,
        "unit": job.unit,
        "rate": job.rate,
        "seconds_left": job.seconds_left,
        "reason": job.reason,
        "worker": job.worker,
        "attempt": job.attempt,
        "last_seq": job.last_seq,
        "heartbeat_at": job.heartbeat_at.isoformat() if job.heartbeat_at else None,
    }


def live_workers() -> QuerySet[Worker]:
    """Workers seen lately."""
    since = timezone.now() - timedelta(seconds=settings.JOB_LOST_SECONDS * 2)
    return Worker.objects.filter(seen_at__gte=since).order_by("queue", "name")


def why_waiting(job: Job) -> str:
    """In words, why a queued job does not run yet."""
    if job.state != Job.State.QUEUED:
        return ""
    workers = live_workers().filter(queue=job.queue).count()
    if not workers:
        return f"No worker of the {job.get_queue_display().lower()} queue is running."
    ahead = Job.objects.filter(queue=job.queue, state=Job.State.QUEUED, position__lt=job.position).count()
    if ahead:
        return f"{ahead} ahead of it in the queue."
    return "Next, as soon as a worker is free."
