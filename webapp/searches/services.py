"""What people do with a search. How it goes on by itself is in `sweeping`."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from mmfrm.config import TrainConfig
from mmfrm.settings import replace
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.errors import RefusedError
from webapp.experiments import services as experiments
from webapp.experiments.models import Experiment
from webapp.experiments.sweeps import SEED, Planned
from webapp.jobs import services as jobs
from webapp.jobs.doorbell import hint_lists
from webapp.jobs.models import Job
from webapp.once import made_once
from webapp.searches import history
from webapp.searches.models import Search, Trial
from webapp.searches.space import Dimension

MOST_TRIALS = 500
CONFIRMED_WITH = 3  # seeds
State = Search.State


def start_search(
    user: User,
    *,
    version: DatasetVersion,
    preset: str,
    config: TrainConfig,
    space: Sequence[Dimension],
    objective: str,
    name: str,
    budget: int,
    request_key: uuid.UUID,
    parallel: int = 1,
    hours: float | None = None,
    chooser: str = Search.Chooser.TPE,
    pruner: str = Search.Pruner.MEDIAN,
    grace_epochs: int = 2,
    seed: int = 0,
    experiment: Experiment | None = None,
    start_from: dict[str, Any] | None = None,
    private: bool = False,
) -> Search:
    """Begin a search; a new experiment holds it where none is given. Its first trial is begun by the sweep.

    The same `request_key` makes one search, however often it comes. Raises RefusedError for a version that is
    not ready, and for no setting or no trials.
    """

    def find() -> Search | None:
        return Search.objects.filter(request_key=request_key, by=user).first()

    def make() -> Search:
        if version.ready_at is None:
            raise RefusedError(f"{version} is still being imported. Start the search when it is ready.")
        if not space or not 0 < budget <= MOST_TRIALS:
            raise RefusedError(f"A search needs a setting to vary and 1 to {MOST_TRIALS} trials.")
        # The best checkpoint of a trial is chosen by what trials are compared by.
        common = replace(config, {"optim.select_by": objective})
        transaction.on_commit(hint_lists)
        return Search.objects.create(
            experiment=experiment or Experiment.objects.create(owner=user, name=name, private=private),
            by=user,
            version=version,
            name=name,
            preset=preset,
            config=dataclasses.asdict(common),
            start_from=start_from or {},
            space=[dimension.as_json() for dimension in space],
            objective=objective,
            chooser=chooser,
            pruner=pruner,
            grace_epochs=grace_epochs,
            seed=seed,
            budget=budget,
            parallel=parallel,
            ends_at=timezone.now() + timedelta(hours=hours) if hours else None,
            request_key=request_key,
        )

    return made_once(find, make)


@transaction.atomic
def pause(search: Search, by: User) -> bool:
    """Begin no more trials, and let those that are open step aside. True if anything changed."""
    if not move(search, State.PAUSED, [State.GOING], f"Paused by {by}."):
        return False
    for job in _jobs_of(search, (*Job.ACTIVE, Job.State.QUEUED)):
        jobs.pause(job, by)
    return True


@transaction.atomic
def resume(search: Search, by: User) -> bool:
    """Go on, also with trials that were paused. The time away is not counted. True if anything changed.

    Raises RefusedError while a trial still writes its checkpoint: it could not be told to go on.
    """
    if search.state == State.PAUSED and _jobs_of(search, [Job.State.PAUSING]):
        raise RefusedError("A trial is still pausing. Wait until it has written its checkpoint.")
    paused_at = search.changed_at
    if not move(search, State.GOING, [State.PAUSED], ""):
        return False
    _forgive(search)
    if search.ends_at is not None:
        Search.objects.filter(pk=search.pk).update(ends_at=search.ends_at + (timezone.now() - paused_at))
    for job in _jobs_of(search, [Job.State.PAUSED]):
        jobs.resume(job, by)
    return True


@transaction.atomic
def stop(search: Search, by: User) -> bool:
    """End it with the trials that are open. True if anything changed."""
    if not move(search, State.STOPPED, [State.GOING, State.PAUSED], f"Stopped by {by}."):
        return False
    for job in _jobs_of(search, (*Job.ACTIVE, Job.State.QUEUED, Job.State.PAUSED)):
        jobs.stop(job, by, why="Its search was stopped.")
    return True


@transaction.atomic
def extend(search: Search, *, budget: int) -> bool:
    """Search on until there are `budget` trials, also after its end. True if anything changed.

    Raises RefusedError for too many. Asked twice for the same number, it is done once.
    """
    row = Search.objects.select_for_update().get(pk=search.pk)
    if not 0 < budget <= MOST_TRIALS:
        raise RefusedError(f"A search tries at most {MOST_TRIALS} times.")
    # After a stop, what was left of the old budget is not taken up again.
    if budget <= (row.budget if row.is_open else row.trials.count()):
        return False
    is_late = row.ends_at is not None and row.ends_at <= timezone.now()
    Search.objects.filter(pk=row.pk).update(budget=budget, ends_at=None if is_late else row.ends_at)
    if move(row, State.GOING, [State.STOPPED, State.FINISHED], ""):
        _forgive(row)
    return True


def confirm(search: Search, by: User) -> Experiment:
    """Train the best trial's settings with seeds that had no part in choosing them, test split and all.

    Asked twice of the same trial, it is done once. Raises RefusedError before any trial is complete.
    """
    best = best_of(search)
    if best is None:
        raise RefusedError("No trial is complete yet.")
    config = best.run.train_config
    label = f"Best of {search.name} (trial {best.number + 1})"[:170]
    seeds = range(config.runtime.seed + 1, config.runtime.seed + 1 + CONFIRMED_WITH)
    return experiments.start_sweep(
        by,
        version=search.version,
        preset=search.preset,
        planned=[Planned(f"{label}, seed {seed}", replace(config, {SEED: seed})) for seed in seeds],
        name=label,
        experiment=search.experiment,
        start_from=search.start_from,
        request_key=uuid.uuid5(search.request_key, f"confirm trial {best.number} for {by.pk}"),
    )


def best_of(search: Search) -> Trial | None:
    """The complete trial with the best validation figure; the earlier of equals. None before the first."""
    complete = [row for row in history.rows_of(search) if row.outcome == Trial.Outcome.COMPLETE]
    sign = 1 if search.is_maximised else -1
    return max(complete, key=lambda row: sign * row.run.best[search.figure], default=None)


def move(search: Search, to: str, from_states: Iterable[str], reason: str) -> bool:
    """Change a search's state if it is in one of `from_states`. True if it was."""
    rows = Search.objects.filter(pk=search.pk, state__in=list(from_states))
    if not rows.update(state=to, reason=reason, changed_at=timezone.now()):
        return False
    transaction.on_commit(hint_lists)
    return True


def _forgive(search: Search) -> None:
    """Whoever goes on has seen what failed so far."""
    last = search.trials.aggregate(last=Max("number"))["last"]  # not their count: runs of some may be deleted
    Search.objects.filter(pk=search.pk).update(forgiven=0 if last is None else last + 1)


def _jobs_of(search: Search, states: Iterable[str]) -> list[Job]:
    return list(Job.objects.filter(run__trial__search=search, state__in=list(states)))
