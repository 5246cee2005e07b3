"""Steering a run after its start: what people order, what its worker passes on, what has come of it."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.db.models import F, Max, QuerySet, Sum
from django.utils import timezone

from mmfrm.events import Finished, Steered, Stopped
from mmfrm.steering import Order
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.experiments import selectors
from webapp.experiments.models import Run, Steering
from webapp.jobs import services as jobs
from webapp.jobs.doorbell import hint
from webapp.jobs.models import Job
from webapp.once import made_once

Do = Steering.Do
RATES = (Do.SCALE_RATE, Do.SET_RATE)


def steer(
    run: Run,
    by: User,
    *,
    do: str,
    value: float,
    text: str = "",
    seen: int | None = None,
    request_key: uuid.UUID,
) -> Steering:
    """Write an order or a note down; the worker of the run, or its next one, passes it on.

    `value` as in mmfrm.steering, of a note its epoch from 0. The same `request_key` makes one order. `seen`:
    the last order that the person knew of. Raises RefusedError where the run's state makes no sense of it,
    and where somebody else has steered it meanwhile; ConfigError for a value out of range.
    """
    if do != Do.NOTE:
        Order(number=1, do=do, value=value)

    def make() -> Steering:
        with jobs.held(run.job) as job:
            if job is None:
                raise RefusedError("The run is deleted.")
            if do != Do.NOTE:
                _refuse_if_steered_since(run, seen)
            _refuse_in_state(run, job, do, value)
            number = last_number(run) + 1
            row = Steering.objects.create(
                run=run, number=number, do=do, value=value, text=text, by=by, request_key=request_key
            )
            _follow_up(row, job, by)
        return row

    return made_once(lambda: Steering.objects.filter(request_key=request_key, by=by).first(), make)


def withdraw(run: Run, number: int, by: User) -> bool:
    """Take back an order to stop that has not come true yet. True if anything changed."""
    with jobs.held(run.job) as job:
        open_ones = _open(run.job).filter(number=number, do=Do.STOP_AFTER)
        row = open_ones.first()
        if job is None or row is None:
            return False
        open_ones.update(withdrawn_at=timezone.now())
        _tell(job, f"Not so: {row}", by)
    return True


def last_number(run: Run, *, orders_only: bool = False) -> int:
    """Of the newest steering; 0 before any."""
    rows = run.steerings.all()
    if orders_only:
        rows = rows.exclude(do=Do.NOTE)
    return rows.aggregate(last=Max("number"))["last"] or 0


# --- for workers ----------------------------------------------------------------------------------


def orders_of(job: Job) -> list[dict[str, Any]]:
    """Every order that holds or is to hold, as mmfrm.steering.Order reads them."""
    rows = Steering.objects.filter(run__job=job, withdrawn_at=None).exclude(do=Do.NOTE)
    rows = rows.exclude(do=Do.STOP_AFTER, obeyed_at__isnull=False)  # it stopped once; now it is to go on
    return [{"number": row.number, "do": row.do, "value": row.value} for row in rows]


def obeyed(job: Job, event: Steered) -> None:
    """The trainer says that an order holds. Said again, nothing changes."""
    rows = Steering.objects.filter(run__job=job, number=event.number, obeyed_at=None)
    if rows.update(obeyed_at=timezone.now(), step=event.step) and event.do == Do.EXTEND:
        # It may have come too late to end the run as early as was asked for.
        begun = Run.objects.get(job=job).train_config.optim.epochs
        still = _open(job).filter(do=Do.EXTEND).aggregate(sum=Sum("value"))["sum"] or 0
        Run.objects.filter(job=job).update(extended=event.epochs - begun + int(still))


def ended(job: Job, last: Finished | Stopped) -> bool:
    """The trainer has ended on its own. True where it was extended while it did."""
    to_stop = _open(job).filter(do=Do.STOP_AFTER)
    if isinstance(last, Stopped):
        to_stop.update(obeyed_at=timezone.now())
        return False
    to_stop.update(withdrawn_at=timezone.now())  # it never got so far
    shorter = _open(job).filter(do=Do.EXTEND, value__lt=0)
    too_late = shorter.aggregate(sum=Sum("value"))["sum"] or 0
    if shorter.update(withdrawn_at=timezone.now()):
        Run.objects.filter(job=job).update(extended=F("extended") - int(too_late))
    return _open(job).filter(do=Do.EXTEND).exists()


# --- within the transaction of an order -------------------------------------------------------------


def _open(job: Job) -> QuerySet[Steering]:
    """Neither obeyed nor withdrawn."""
    return Steering.objects.filter(run__job=job, obeyed_at=None, withdrawn_at=None).exclude(do=Do.NOTE)


def _follow_up(row: Steering, job: Job, by: User) -> None:
    """What an order means to the rows around it."""
    if row.do == Do.STOP_AFTER:  # instead of an earlier one
        _open(job).filter(do=Do.STOP_AFTER, number__lt=row.number).update(withdrawn_at=timezone.now())
    _tell(job, _asked(row), by)
    if row.do == Do.EXTEND:
        Run.objects.filter(pk=row.run_id).update(extended=F("extended") + int(row.value))
        if job.state == Job.State.FINISHED:
            Run.objects.filter(pk=row.run_id).update(test={})  # measured anew at its new end
        if job.state in (Job.State.FINISHED, Job.State.STOPPED):
            jobs.reopen(job, by)


def _tell(job: Job, text: str, by: User) -> None:
    """Into the history, with who; browsers fetch what has changed."""
    jobs.note(job, "steering", {"text": text, "by": str(by)})
    transaction.on_commit(lambda: hint(job))


def _asked(row: Steering) -> str:
    return f"Note at epoch {row.value + 1:.0f}: {row.text}" if row.do == Do.NOTE else f"{row}"


def _refuse_if_steered_since(run: Run, seen: int | None) -> None:
    """Two windows may show the same page; the second one's order was meant for another run."""
    if seen is None:
        return
    newer = list(run.steerings.filter(number__gt=seen).exclude(do=Do.NOTE))
    if newer:
        told = "; ".join(f"{row}, by {row.by}" for row in newer)
        raise RefusedError(f"Meanwhile it was steered: {told}. Look again before you send this.")


def _refuse_in_state(run: Run, job: Job, do: str, value: float) -> None:
    state = Job.State
    if do == Do.STOP_AFTER and (job.is_over or job.state == state.STOPPING):
        raise RefusedError("It does not run and does not wait, so there is nothing to stop.")
    if do == Do.STOP_AFTER and value >= Run.objects.get(pk=run.pk).epochs:
        raise RefusedError("That is beyond its last epoch.")
    if do in RATES and job.state == state.FINISHED:
        raise RefusedError("It has finished. Extend it first; then change its learning rate.")
    if do == Do.EXTEND and value < 0:
        _refuse_to_shorten(run, job, value)
    if do == Do.EXTEND and job.state == state.FINISHED and not (run.folder / "last.ckpt").exists():
        raise RefusedError("Its checkpoint is gone, so it cannot go on. Clone it with more epochs.")


def _refuse_to_shorten(run: Run, job: Job, value: float) -> None:
    if job.state == Job.State.FINISHED:
        raise RefusedError("It has finished, so that it cannot end earlier.")
    done = selectors.epochs_done([run]).get(run.pk, 0)
    if Run.objects.get(pk=run.pk).epochs + value < max(1, done):
        raise RefusedError(f"It has ended {done} epochs already, and must have one: it cannot have fewer.")
