"""Everything that changes a job. Every transition is one conditional UPDATE in `move`."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Min, QuerySet
from django.utils import timezone

from mmfrm.events import (
    Checkpointed,
    Event,
    Failed,
    Finished,
    Kept,
    Predicted,
    Progress,
    Started,
    Steered,
    StepDone,
    Stopped,
)
from mmfrm.jobs import write_job
from webapp.accounts.models import User
from webapp.jobs import endings, kinds
from webapp.jobs.doorbell import hint, ring
from webapp.jobs.models import Job, JobEvent, Worker

log = logging.getLogger(__name__)
State = Job.State


def folder_of(job: Job) -> Path:
    """The job folder, where its child process works."""
    return Path(settings.DATA_DIR) / "jobs" / str(job.pk)


# --- by people ------------------------------------------------------------------------------------


def create(*, kind: str, queue: str, owner: User, title: str) -> Job:
    """A queued job. Call it inside the transaction that makes the row it works for.

    A title that is too long is cut: many are made of names, which may be as long themselves.
    """
    title = title[: Job.LONGEST_TITLE]
    job = Job.objects.create(kind=kind, queue=queue, owner=owner, title=title)
    Job.objects.filter(pk=job.pk).update(position=job.pk)
    job.position = job.pk
    note(job, "state", {"state": State.QUEUED, "by": str(owner)})
    transaction.on_commit(lambda: ring(queue))
    return job


def stop(job: Job, by: User | None, *, why: str = "") -> bool:
    """Ask a job to end; it can be resumed. True if anything changed.

    `why` is told to people where the program itself asks (`by` is None).
    """
    with held(job):
        resting, going = (State.QUEUED, State.PAUSED), (State.STARTING, State.RUNNING, State.PAUSING)
        now = timezone.now()
        return move(job.pk, State.STOPPED, resting, by=by, reason=why, finished_at=now) or move(
            job.pk, State.STOPPING, going, by=by, reason=why
        )


def pause(job: Job, by: User) -> bool:
    """Ask a job to step aside with a checkpoint. True if anything changed."""
    with held(job):
        return move(job.pk, State.PAUSED, [State.QUEUED], by=by) or move(
            job.pk, State.PAUSING, [State.STARTING, State.RUNNING], by=by
        )


@contextmanager
def held(job: Job) -> Iterator[Job | None]:
    """Nobody else changes the job meanwhile: a wish tried on two states must not fall between them.

    Gives the row as it is; None where it is deleted.
    """
    with transaction.atomic():
        yield Job.objects.select_for_update().filter(pk=job.pk).first()


def resume(job: Job, by: User) -> bool:
    """Put a paused, stopped or failed job back in the queue. True if anything changed."""
    return _queue_again(job, by, Job.RESTING)


def reopen(job: Job, by: User) -> bool:
    """Put a job that is over back in the queue, because its kind has more to do. True if anything changed."""
    return _queue_again(job, by, Job.OVER)


def _queue_again(job: Job, by: User, from_states: Iterable[str]) -> bool:
    changed = move(
        job.pk,
        State.QUEUED,
        from_states,
        by=by,
        reason="",
        losses=0,
        finished_at=None,
        queued_at=timezone.now(),
    )
    if changed:
        transaction.on_commit(lambda: ring(job.queue))
    return changed


# --- by workers -----------------------------------------------------------------------------------


def claim(queue: str, worker: str) -> Job | None:
    """Take the next waiting job of a queue, or None. Two workers never get the same one."""
    waiting = Job.objects.filter(queue=queue, state=State.QUEUED).order_by("position", "id")
    while (candidate := waiting.first()) is not None:
        now = timezone.now()
        taken = move(
            candidate.pk, State.STARTING, [State.QUEUED],
            attempt=F("attempt") + 1, worker=worker, heartbeat_at=now, reason="", rate=0.0, seconds_left=None,
        )  # fmt: skip
        if taken:
            return Job.objects.get(pk=candidate.pk)
    return None


def prepare(job: Job) -> Path:
    """Write job.json for the child and answer its folder."""
    folder = folder_of(job)
    write_job(folder, kinds.of(job).prepare(job))
    return folder


def orders(job: Job) -> list[dict[str, Any]]:
    """What people ordered of a job since its start, as its child is told: all that holds at present."""
    return kinds.of(job).orders(job)


def heartbeat(job: Job) -> str | None:
    """Say that the attempt lives. Answers the row's state, or None when the job was taken away."""
    mine = Job.objects.filter(pk=job.pk, attempt=job.attempt, state__in=Job.ACTIVE)
    if not mine.update(heartbeat_at=timezone.now()):
        return None
    return mine.values_list("state", flat=True).first()


def record(job: Job, event: Event) -> bool:
    """Write down what the child said. False when the attempt is no longer the job's: end the child."""
    mine = Job.objects.filter(pk=job.pk, attempt=job.attempt, state__in=Job.ACTIVE)
    if isinstance(event, Progress):
        return _show_progress(mine, job, event)
    with transaction.atomic():
        row = mine.select_for_update().first()
        if row is None:
            return False
        _apply(row, event)
        if not isinstance(event, Predicted | Kept) and not _is_known(row, event):
            note(row, event.kind, event.payload(), key=_key(event))
        kinds.tell(row, event)
        transaction.on_commit(lambda: hint(row))
    return True


def end(job: Job, *, last: Event | None, exit_status: str) -> None:
    """The child is gone. `last` is its terminal event, if it said one; `exit_status` is for people."""
    with held(job) as row:  # a wish that comes between two tries would find no worker to hear it
        if row is None or not row.is_active or row.attempt != job.attempt:
            return
        if isinstance(last, Finished):
            if kinds.of(row).on_end(row, last):
                _give_back(job, lost=False, why="More was asked of it while it ended.")
            else:
                _leave(job, State.FINISHED, "")
        elif isinstance(last, Stopped) and last.on_order:
            kinds.of(row).on_end(row, last)
            _leave(job, State.STOPPED, last.reason)
        elif isinstance(last, Failed):
            _leave(job, State.FAILED, last.message)
        elif isinstance(last, Stopped):
            _give_back(job, lost=False, why=last.reason)
        else:
            _give_back(job, lost=True, why=f"The process ended without a word ({exit_status}).")


# --- by the reaper --------------------------------------------------------------------------------


def reap(now: datetime | None = None) -> int:
    """Put back what lost its heartbeat and ring for what waits. Answers how many jobs were lost."""
    now = now or timezone.now()
    since = now - timedelta(seconds=settings.JOB_LOST_SECONDS)
    silent = Job.objects.filter(state__in=Job.ACTIVE, heartbeat_at__lt=since)
    count = sum(_take_away(job, since) for job in list(silent))
    Worker.objects.filter(seen_at__lt=now - timedelta(days=1)).delete()
    for queue in Job.objects.filter(state=State.QUEUED).values_list("queue", flat=True).distinct():
        ring(queue)
    return count


def _take_away(job: Job, since: datetime) -> bool:
    """Put a job back that was silent, unless its worker has spoken since, or could not. True if it was.

    Who held the row, or SQLite's one lock, until this got it, held up heartbeats too: they come first now,
    and the next round looks again.
    """
    asked_at = time.monotonic()
    with held(job) as row:
        waited = time.monotonic() - asked_at
        if waited > settings.JOB_HEARTBEAT_SECONDS or row is None or row.attempt != job.attempt:
            return False
        if row.heartbeat_at is None or row.heartbeat_at >= since:
            return False
        log.warning("job %s lost its worker %s", row.pk, row.worker)
        _give_back(row, lost=True, why=f"The worker {row.worker} is gone.")
    return True


# --- the one transition ---------------------------------------------------------------------------


def move(
    pk: int,
    to: str,
    from_states: Iterable[str],
    *,
    by: User | None = None,
    attempt_is: int | None = None,
    **changes: Any,
) -> bool:
    """Change a job's state if it is in one of `from_states` (and at attempt `attempt_is`). True if it was."""
    with transaction.atomic():
        rows = Job.objects.filter(pk=pk, state__in=list(from_states))
        if attempt_is is not None:
            rows = rows.filter(attempt=attempt_is)
        if not rows.update(state=to, **changes):
            return False
        job = Job.objects.get(pk=pk)
        note(job, "state", {"state": to, "reason": job.reason, "by": str(by) if by else ""})
        if job.is_over:
            endings.tell(job)
        transaction.on_commit(lambda: hint(job))
    return True


def note(job: Job, kind: str, payload: dict[str, Any], *, key: int | None = None) -> JobEvent:
    """Append to a job's log under the next seq; an event with a key replaces the older one of that key."""
    with transaction.atomic():
        # The UPDATE locks the row, so two writers cannot draw the same seq.
        Job.objects.filter(pk=job.pk).update(last_seq=F("last_seq") + 1)
        seq, attempt = Job.objects.values_list("last_seq", "attempt").get(pk=job.pk)
        values = {"seq": seq, "attempt": attempt, "at": timezone.now(), "payload": payload}
        if key is None:
            return JobEvent.objects.create(job_id=job.pk, kind=kind, **values)
        # The job's row is held, so that nobody makes the same event between these two.
        same = JobEvent.objects.filter(job_id=job.pk, kind=kind, key=key)
        if same.update(**values):
            return same.get()
        return JobEvent.objects.create(job_id=job.pk, kind=kind, key=key, **values)


def first_position(queue: str) -> float:
    """A position before everything that waits."""
    lowest = Job.objects.filter(queue=queue, state=State.QUEUED).aggregate(low=Min("position"))["low"]
    return (lowest or 0.0) - 1.0


def _is_known(job: Job, event: Event) -> bool:
    """A resumed job says again what it obeys: that is no news, and keeps its time."""
    return (
        isinstance(event, Steered)
        and JobEvent.objects.filter(job=job, kind=event.kind, key=event.number).exists()
    )


def _key(event: Event) -> int | None:
    match event:
        case Steered():
            return event.number
        case StepDone():
            return event.step
        case _ if event.kind in ("epoch", "checkpoint"):
            return int(event.payload()["epoch"])
        case _:
            return None


def _apply(job: Job, event: Event) -> None:
    """The event's effect on the row itself. Only columns named here are written."""
    match event:
        case Started():
            move(job.pk, State.RUNNING, [State.STARTING], attempt_is=job.attempt)
            Job.objects.filter(pk=job.pk, started_at=None).update(started_at=timezone.now())
        case Checkpointed():
            Job.objects.filter(pk=job.pk).update(losses=0)
        # What is on disk of a labelling or an import is its checkpoint.
        case Predicted(again=False) | Kept() if job.losses:
            Job.objects.filter(pk=job.pk).update(losses=0)
        case Finished():
            Job.objects.filter(pk=job.pk).update(result=event.result)
        case _:
            pass


def _show_progress(mine: QuerySet[Job], job: Job, event: Progress) -> bool:
    """One UPDATE: half of what trainings say is this, and SQLite lets one write at a time."""
    changed = mine.update(
        phase=event.phase, done=event.done, total=event.total, unit=event.unit, rate=event.rate,
        seconds_left=event.seconds_left,
    )  # fmt: skip
    if changed:
        transaction.on_commit(lambda: hint(job))
    return bool(changed)


def _leave(job: Job, to: str, reason: str) -> None:
    move(
        job.pk, to, Job.ACTIVE, attempt_is=job.attempt,
        reason=reason, finished_at=timezone.now(), heartbeat_at=None, rate=0.0, seconds_left=None,
    )  # fmt: skip


def _give_back(job: Job, *, lost: bool, why: str) -> None:
    """A worker no longer has the job: grant what was wished of it, or put it back in the queue."""
    rest: dict[str, Any] = {
        "attempt_is": job.attempt,
        "heartbeat_at": None,
        "rate": 0.0,
        "seconds_left": None,
    }
    if move(job.pk, State.PAUSED, [State.PAUSING], **rest):
        return
    if move(job.pk, State.STOPPED, [State.STOPPING], finished_at=timezone.now(), **rest):
        return
    losses = Job.objects.values_list("losses", flat=True).get(pk=job.pk) + int(lost)
    if losses > settings.JOB_MOST_LOSSES:
        _leave(
            job,
            State.FAILED,
            f"{why} That happened {losses} times without a checkpoint between; see the log, then resume.",
        )
        return
    if move(job.pk, State.QUEUED, [State.STARTING, State.RUNNING], losses=losses, reason=why, **rest):
        transaction.on_commit(lambda: ring(job.queue))
