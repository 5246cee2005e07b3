"""What pages and sockets read of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from webapp.accounts.models import User
from webapp.accounts.permissions import may_edit, may_view
from webapp.jobs import kinds
from webapp.jobs.models import Job, JobEvent, Worker

ENDS_OVERLAP = timedelta(seconds=15)
MOST_ENDS = 20  # told at once
# From a job to what it works for, whatever its kind: see `listed`.
SUBJECTS = (
    "run__trial",
    "estimate",
    "dataset_import__version__dataset",
    "scoring__version__dataset",
    "export__model",
    "label_batch",
    "second_opinion__batch",
    "before_after__run",
)
# The longest of their columns, which no list shows.
LONG = (
    *[f"{run}__{c}" for run in ("run", "before_after__run") for c in ("config", "facts", "best", "test")],
    "estimate__config",
    "dataset_import__version__report",
    "scoring__version__report",
)
EndOfJob = tuple[datetime, int]  # when it ended, and its number: an order without equals


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
        "label": kinds.of(job).label(job),
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


def ends_of(
    user: User, after: datetime, beyond: EndOfJob | None = None
) -> tuple[list[dict[str, Any]], EndOfJob | None]:
    """Somebody's own jobs that have finished or failed after a moment, or shortly before it, oldest first.

    Shortly before, because a transaction becomes visible later than the moment it writes. Where there may
    be more, the last one comes along, `beyond` which to ask next: the moment alone would not get on where
    many end within the overlap.
    """
    ended = Job.objects.filter(owner=user, state__in=(Job.State.FINISHED, Job.State.FAILED))
    since = Q(finished_at__gt=after - ENDS_OVERLAP)
    if beyond is not None:
        since = Q(finished_at__gt=beyond[0]) | Q(finished_at=beyond[0], pk__gt=beyond[1])
    rows = list(ended.filter(since).order_by("finished_at", "pk")[:MOST_ENDS])
    told = [
        {
            "key": f"{job.pk}.{job.attempt}",
            "kind": job.kind,
            "title": job.title,
            "state": job.state,
            "reason": job.reason[:200],
            "url": kinds.of(job).url(job),
        }
        for job in rows
    ]
    if len(rows) < MOST_ENDS or rows[-1].finished_at is None:
        return told, None
    return told, (rows[-1].finished_at, rows[-1].pk)


def moment(text: str) -> datetime:
    """A moment that a browser remembers, within the last day; without a sensible one, now."""
    now = timezone.now()
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        return now + ENDS_OVERLAP  # nothing that has ended already
    if said.tzinfo is None or said > now:
        return now
    return max(said, now - timedelta(days=1))


def live_workers() -> QuerySet[Worker]:
    """Workers seen lately."""
    since = timezone.now() - timedelta(seconds=settings.JOB_LOST_SECONDS * 2)
    return Worker.objects.filter(seen_at__gte=since).order_by("queue", "name")


def why_waiting(job: Job) -> str:
    """In words, why a queued job does not run yet."""
    if job.state != Job.State.QUEUED:
        return ""
    waiting = Job.objects.filter(queue=job.queue, state=Job.State.QUEUED)
    ahead = waiting.filter(Q(position__lt=job.position) | Q(position=job.position, pk__lt=job.pk)).count()
    return _why_waiting(job, ahead=ahead, workers=live_workers().filter(queue=job.queue).count())


def _why_waiting(job: Job, *, ahead: int, workers: int) -> str:
    if not workers:
        return f"No worker of the {job.get_queue_display().lower()} queue is running."
    if ahead:
        return f"{ahead} ahead of it in the queue."
    return "Next, as soon as a worker is free."


def truth_of(job: Job) -> str:
    """What a person should know when a job is not simply going on; empty when it is."""
    if job.is_active and job.heartbeat_at is not None:
        silent = (timezone.now() - job.heartbeat_at).total_seconds()
        if silent > settings.JOB_LOST_SECONDS / 2:
            return (
                f"No sign of life from {job.worker} for {silent:.0f} s. If it is gone, this goes back to the "
                "queue and goes on from its last checkpoint by itself."
            )
    if job.state == Job.State.QUEUED and job.reason:
        return f"{job.reason} It goes on from its last checkpoint by itself."
    return ""


# --- the queue page -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A job in the queue, as one visitor may see it."""

    job: Job
    title: str
    url: str
    may_steer: bool
    is_seen: bool
    why: str


@dataclass(frozen=True)
class QueueState:
    """One queue: who works on it, what they do, what waits."""

    name: str
    label: str
    workers: list[tuple[Worker, Entry | None]]
    homeless: list[Entry]  # active, and the worker was not seen lately
    waiting: list[Entry]


def listed(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Jobs with what they work for, so that a list asks the database once and not for each of its rows."""
    return jobs.select_related("owner", *SUBJECTS).defer(*LONG)


def queues(user: User, most_waiting: int | None = None) -> list[QueueState]:
    """Every queue as somebody may see it. Private work of others is counted, not named.

    most_waiting: of each queue's waiting jobs only the first so many.
    """
    found = []
    for name, label in Job.Queue.choices:
        jobs = listed(Job.objects.filter(queue=name))
        active = [_entry(job, user) for job in jobs.filter(state__in=Job.ACTIVE).order_by("started_at", "id")]
        alive = list(live_workers().filter(queue=name))
        by_worker = {entry.job.worker: entry for entry in active}
        names = {worker.name for worker in alive}
        waiting = jobs.filter(state=Job.State.QUEUED).order_by("position", "id")[:most_waiting]
        found.append(
            QueueState(
                name=name,
                label=str(label),
                workers=[(worker, by_worker.get(worker.name)) for worker in alive],
                homeless=[entry for entry in active if entry.job.worker not in names],
                waiting=[
                    _entry(job, user, _why_waiting(job, ahead=ahead, workers=len(alive)))
                    for ahead, job in enumerate(waiting)
                ],
            )
        )
    return found


def _entry(job: Job, user: User, why: str = "") -> Entry:
    kind = kinds.of(job)
    subject = kind.subject(job)
    is_seen = may_view(user, subject)
    return Entry(
        job=job,
        title=job.title if is_seen else f"Private work of {job.owner}",
        url=kind.url(job) if is_seen else "",
        may_steer=may_edit(user, subject),
        is_seen=is_seen,
        why=why,
    )
