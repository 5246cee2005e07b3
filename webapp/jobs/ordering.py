"""In which order waiting jobs are taken: what people change about it."""

from __future__ import annotations

from django.db import transaction

from webapp.accounts.models import User
from webapp.jobs import services
from webapp.jobs.doorbell import hint
from webapp.jobs.models import Job


def change_places(job: Job, *, by: User, up: bool) -> bool:
    """Let a waiting job change places with the one before or after it. True if there was one."""
    with transaction.atomic():
        waiting = _waiting(job.queue)
        here = next((i for i, row in enumerate(waiting) if row.pk == job.pk), None)
        there = None if here is None else here + (-1 if up else 1)
        if here is None or there is None or not 0 <= there < len(waiting):
            return False
        return _put(waiting, here, there, by)


def place(job: Job, *, by: User, before: int | None) -> bool:
    """Put a waiting job before another one, by its key, or at the end. True if that changed anything.

    Nothing changes where either no longer waits: the page that asked was out of date.
    """
    with transaction.atomic():
        waiting = _waiting(job.queue)
        keys = [row.pk for row in waiting]
        if job.pk not in keys or (before is not None and before not in keys):
            return False
        here = keys.index(job.pk)
        there = len(keys) if before is None else keys.index(before)
        there -= there > here  # it leaves a gap behind
        return here != there and before != job.pk and _put(waiting, here, there, by)


def _waiting(queue: str) -> list[Job]:
    """A queue's waiting jobs in order. Held, so that two people do not sort at once."""
    rows = Job.objects.select_for_update().filter(queue=queue, state=Job.State.QUEUED)
    return list(rows.order_by("position", "id"))


def _put(waiting: list[Job], here: int, there: int, by: User) -> bool:
    lowest, job = waiting[0].position, waiting.pop(here)
    waiting.insert(there, job)
    # All are numbered anew from the lowest, which stays below what later jobs get (their own key).
    for at, row in enumerate(waiting):
        Job.objects.filter(pk=row.pk).update(position=lowest + at)
    services.note(job, "moved", {"up": there < here, "by": str(by)})
    transaction.on_commit(lambda: hint(job))
    return True
