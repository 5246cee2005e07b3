"""Everything that changes experiments and runs."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.text import get_text_list

from mmfrm.config import TrainConfig
from webapp.accounts.models import User
from webapp.accounts.permissions import may_edit
from webapp.datasets.models import DatasetVersion
from webapp.errors import RefusedError
from webapp.experiments.models import Experiment, Run
from webapp.experiments.sweeps import MOST_RUNS, Planned
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.once import made_once


def start_run(
    user: User,
    *,
    version: DatasetVersion,
    preset: str,
    config: TrainConfig,
    name: str,
    experiment: Experiment | None = None,
    start_from: dict[str, Any] | None = None,
    private: bool = False,
    opens_test: bool = True,
    request_key: uuid.UUID | None = None,
) -> Run:
    """Queue a training; a new experiment holds it where none is given.

    The same `request_key` makes one run, however often it comes. Raises RefusedError for a version that is
    not ready.
    """
    return made_once(
        lambda: _made_with(user, [request_key] if request_key else []),
        lambda: _make_run(
            user,
            version=version,
            preset=preset,
            config=config,
            name=name,
            experiment=experiment,
            start_from=start_from,
            private=private,
            opens_test=opens_test,
            request_key=request_key,
        ),
    )


def start_sweep(
    user: User,
    *,
    version: DatasetVersion,
    preset: str,
    planned: Sequence[Planned],
    name: str,
    experiment: Experiment | None = None,
    start_from: dict[str, Any] | None = None,
    private: bool = False,
    request_key: uuid.UUID,
) -> Experiment:
    """Queue many trainings in one experiment: all of them, or none.

    The same `request_key` makes them once, however often it comes. Raises RefusedError for a version that is
    not ready, for no runs and for more than MOST_RUNS.
    """
    keys = [uuid.uuid5(request_key, str(place)) for place in range(len(planned))]
    if not 0 < len(planned) <= MOST_RUNS:
        raise RefusedError(f"Start 1 to {MOST_RUNS} runs at once, not {len(planned):,}.")

    def find() -> Experiment | None:
        earlier = _made_with(user, keys)
        return None if earlier is None else earlier.experiment

    def make() -> Experiment:
        holder = experiment or Experiment.objects.create(owner=user, name=name, private=private)
        for key, one in zip(keys, planned, strict=True):
            _make_run(
                user,
                version=version,
                preset=preset,
                config=one.config,
                name=(one.label or name)[:200],
                experiment=holder,
                start_from=start_from,
                private=private,
                request_key=key,
            )
        return holder

    return made_once(find, make)


def _make_run(
    user: User,
    *,
    version: DatasetVersion,
    config: TrainConfig,
    name: str,
    experiment: Experiment | None,
    start_from: dict[str, Any] | None,
    private: bool,
    **columns: Any,
) -> Run:
    if version.ready_at is None:
        raise RefusedError(f"{version} is still being imported. Start the run when it is ready.")
    if experiment is None:
        experiment = Experiment.objects.create(owner=user, name=name, private=private)
    job = jobs.create(kind="train", queue=Job.Queue.GPU, owner=user, title=name)
    return Run.objects.create(
        owner=user,
        private=private or experiment.private,
        experiment=experiment,
        job=job,
        version=version,
        name=name,
        config=dataclasses.asdict(config),
        start_from=start_from or {},
        **columns,
    )


def _made_with(user: User, keys: Sequence[uuid.UUID]) -> Run | None:
    """A run that somebody started before with one of these keys."""
    return Run.objects.filter(request_key__in=keys, owner=user).select_related("experiment").first()


@transaction.atomic
def edit_run(run: Run, *, name: str, private: bool) -> None:
    """Rename a run, or hide it. The name follows to the queue."""
    Run.objects.filter(pk=run.pk).update(name=name, private=private)
    Job.objects.filter(pk=run.job_id).update(title=name)


@transaction.atomic
def edit_experiment(experiment: Experiment, *, name: str, question: str, private: bool) -> None:
    """Rename an experiment, say what it asks, or hide it: then its runs are hidden too.

    Shown again, it shows the runs of its owner; whether others show theirs is for them to say.
    """
    Experiment.objects.filter(pk=experiment.pk).update(name=name, question=question, private=private)
    if private != experiment.private:
        runs = experiment.runs.all() if private else experiment.runs.filter(owner=experiment.owner_id)
        runs.update(private=private)


@transaction.atomic
def delete_run(run: Run) -> None:
    """Delete a run with its checkpoints. Promoted models stay. Raises RefusedError while a worker has it."""
    _delete_jobs([run])


@transaction.atomic
def delete_experiment(experiment: Experiment, user: User) -> None:
    """Delete an experiment with all its runs.

    Raises RefusedError while a worker has one of them, and where one is not the user's to delete.
    """
    Experiment.objects.select_for_update().filter(pk=experiment.pk).first()  # no run is added meanwhile
    runs = list(experiment.runs.select_related("owner"))
    _refuse_foreign([run for run in runs if not may_edit(user, run)])
    _delete_jobs(runs)
    experiment.delete()


def _refuse_foreign(runs: list[Run]) -> None:
    """Counted and not named: some may be private."""
    if runs:
        belong, them = ("belongs", "it") if len(runs) == 1 else ("belong", "them")
        owners = get_text_list(sorted({str(run.owner) for run in runs}), "and")
        many = f"{len(runs)} run{'s' * (len(runs) != 1)}"
        remedy = f"They or an administrator must delete {them} first."
        raise RefusedError(f"{many} in it {belong} to {owners}. {remedy}")


def _delete_jobs(runs: list[Run]) -> None:
    rows = Job.objects.select_for_update().filter(pk__in=[run.job_id for run in runs])
    busy = [job.title for job in rows if job.is_active]
    if busy:
        raise RefusedError(f"A worker has {', '.join(busy)}. Stop it first.")
    folders = [run.folder for run in runs]
    rows.delete()  # the runs and their events go along
    transaction.on_commit(lambda: _remove(folders))


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
