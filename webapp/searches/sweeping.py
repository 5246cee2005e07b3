"""How a search goes on by itself: trials are judged, begun and counted, seconds after anything happened.

Nothing here is told what happened. Every sweep looks at the rows and does what is still to do, so a message,
a worker or a whole machine may be lost without losing the search; and two sweeps at once do it once.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from mmfrm.schema import ConfigError
from mmfrm.settings import replace
from webapp.accounts.permissions import may_create
from webapp.errors import RefusedError
from webapp.experiments import services as experiments
from webapp.experiments.setting_fields import shown
from webapp.jobs import services as jobs
from webapp.jobs.doorbell import hint_lists
from webapp.jobs.models import Job
from webapp.searches import history, optimiser
from webapp.searches.models import Search, Trial
from webapp.searches.services import move
from webapp.searches.space import Dimension, from_json

log = logging.getLogger(__name__)
MOST_FAILURES = 3  # one after the other: then a person should look before more time goes into it
ENOUGH = 4  # finished trials before importance says anything
State, Outcome = Search.State, Trial.Outcome


def sweep() -> None:
    """Take every search that goes on a step further. One that stumbles does not hold up the others."""
    for search in Search.objects.filter(state=State.GOING).select_related("by", "experiment", "version"):
        try:
            advance(search)
        except DatabaseError:
            raise  # it may be away altogether: the reaper knows what to do
        except Exception:
            log.exception("search %s stumbled, and goes on", search.pk)


def advance(search: Search) -> None:
    """Do what is to do for one search now."""
    rows = list(history.rows_of(search))
    _judge(search, rows)
    _weigh(search, rows)
    if (reason := _hindrance(search, rows)) is not None:
        move(search, State.PAUSED, [State.GOING], reason)
        return
    is_late = search.ends_at is not None and search.ends_at <= timezone.now()
    if len(rows) >= search.budget or is_late:
        _finish(search, rows, is_late)
        return
    opened = sum(row.outcome == Outcome.OPEN for row in rows)
    for _ in range(min(search.parallel - opened, search.budget - len(rows))):
        if not _begin_next(search):
            return


# --- judging --------------------------------------------------------------------------------------


def _judge(search: Search, rows: Sequence[Trial]) -> None:
    """Give up what the pruner gives up, once for each epoch that was stored."""
    if search.pruner == Search.Pruner.NONE:
        return
    # A trial that was pruned and that a person resumed is theirs.
    judged = [row for row in rows if row.outcome == Outcome.OPEN and row.pruned_after is None]
    done = history.epochs_done(judged)
    fresh = [row for row in judged if row.judged < done[row.number] < row.run.config["optim"]["epochs"]]
    if not fresh:
        return
    tried = history.tried(search, rows)
    for row in fresh:
        verdict = optimiser.judge(search, tried, row.number, row.judged)
        if verdict is not None:
            prune(row, verdict)
        else:
            Trial.objects.filter(pk=row.pk, judged__lt=done[row.number]).update(judged=done[row.number])


@transaction.atomic
def prune(row: Trial, verdict: optimiser.Verdict) -> bool:
    """Stop a trial's run and say why in its history. False where it has ended or was pruned before."""
    marked = Trial.objects.filter(pk=row.pk, pruned_after=None).update(
        pruned_after=verdict.after, judged=verdict.after
    )
    if marked and jobs.stop(Job.objects.get(pk=row.run.job_id), None, why=verdict.why):
        return True
    transaction.set_rollback(True)  # it was over already, and then it is what it became
    return False


def _weigh(search: Search, rows: Sequence[Trial]) -> None:
    """Say anew how much each setting matters, whenever another trial is complete."""
    complete = sum(row.outcome == Outcome.COMPLETE for row in rows)
    if complete < ENOUGH or search.importance.get("of") == complete:
        return
    shares = optimiser.importances(search, history.tried(search, rows))
    Search.objects.filter(pk=search.pk).update(importance={"of": complete, "shares": shares})
    hint_lists()


# --- beginning and ending -------------------------------------------------------------------------


def _hindrance(search: Search, rows: Sequence[Trial]) -> str | None:
    """Why no further trial should begin by itself, in words; None where nothing speaks against it."""
    if not may_create(search.by):
        return f"{search.by} may no longer start runs."
    ended = [row for row in rows if row.number >= search.forgiven and row.outcome != Outcome.OPEN]
    last = ended[-MOST_FAILURES:]
    if len(last) == MOST_FAILURES and all(row.outcome == Outcome.FAILED for row in last):
        why = last[-1].run.job.reason or f"It ended without a {optimiser.name_in_words(search.objective)}."
        return f"{MOST_FAILURES} trials failed one after the other. The last one: {why}"
    return None


def _finish(search: Search, rows: Sequence[Trial], is_late: bool) -> None:
    if any(row.outcome == Outcome.OPEN for row in rows):
        return
    reason = "Its time is over." if is_late else f"All {search.budget} trials are done."
    move(search, State.FINISHED, [State.GOING], reason)


def _begin_next(search: Search) -> bool:
    """Begin one more trial. False where another sweep was faster, or nothing is left to try."""
    rows = list(history.rows_of(search))
    number = rows[-1].number + 1 if rows else 0
    optimiser.load()  # asking takes no lock: others write meanwhile
    params = optimiser.ask(search, history.tried(search, rows), number)
    if params is None:
        if all(row.outcome != Outcome.OPEN for row in rows):
            move(search, State.FINISHED, [State.GOING], "Every combination has been tried.")
        return False
    try:
        return begin(search, number, params)
    except (RefusedError, ConfigError) as error:
        move(search, State.PAUSED, [State.GOING], f"The next trial could not begin: {error}")
        return False


@transaction.atomic
def begin(search: Search, number: int, params: dict[str, Any]) -> bool:
    """Queue a trial with these settings. False where it exists, or the search no longer wants it."""
    row = Search.objects.select_for_update().filter(pk=search.pk, state=State.GOING).first()
    if row is None or row.trials.filter(number__gte=number).exists() or row.trials.count() >= row.budget:
        return False
    run = experiments.start_run(
        search.by,
        version=search.version,
        preset=row.preset,
        config=replace(row.train_config, params),
        name=label_of(number, params, from_json(row.space)),
        experiment=search.experiment,
        start_from=row.start_from,
        opens_test=False,
        request_key=uuid.uuid5(row.request_key, f"trial {number}"),
    )
    Trial.objects.create(search=row, run=run, number=number)
    return True


def label_of(number: int, params: dict[str, Any], space: Sequence[Dimension]) -> str:
    """ "Trial 7: Learning rate 0.00032, Dropout 0.1"."""
    parts = (f"{dimension.title} {shown(params[dimension.name])}" for dimension in space)
    return f"Trial {number + 1}: {', '.join(parts)}"[:200]
