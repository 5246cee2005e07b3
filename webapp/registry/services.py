"""Everything that changes models."""

from __future__ import annotations

import shutil
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils.text import get_text_list

from webapp.accounts.models import User
from webapp.accounts.permissions import visible
from webapp.errors import RefusedError
from webapp.experiments.models import Run
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.registry.cards import card_of
from webapp.registry.models import Model

MOST_NAMED = 3  # things that need a model, where it cannot be deleted


def promote(user: User, run: Run, *, name: str = "") -> Model:
    """Make the run's best weights a model that outlives it. A run has one model, however often it is asked.

    A private run's model belongs to the run's owner and stays private. Raises RefusedError while there
    are no weights to take.
    """
    earlier = Model.objects.filter(run=run).first()
    if earlier is not None:
        return earlier
    source = run.folder / "model"
    if run.job.is_active or not (source / "model.json").is_file():
        raise RefusedError(f"{run.name} has no finished weights yet. Promote it when the run has ended.")
    part = copied(source)
    try:
        return _take_over(user, run, name=name, part=part)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@transaction.atomic
def edit(model: Model, *, name: str, private: bool) -> None:
    """Rename a model, or hide it."""
    Model.objects.filter(pk=model.pk).update(name=name, private=private)


@transaction.atomic
def delete(model: Model, user: User) -> None:
    """Delete a model with its weights. Raises RefusedError while something needs it."""
    _refuse_where_used(model, user)
    exports = Job.objects.select_for_update().filter(export__model=model)
    if any(job.is_active for job in exports):
        raise RefusedError(f"{model.name} is being exported. Stop that first.")
    scorings = Job.objects.select_for_update().filter(scoring__model=model)
    if any(job.is_active for job in scorings):
        raise RefusedError(f"{model.name} is scoring a data set. Stop that first.")
    gone = [*exports, *scorings]
    folders = [model.folder, *(jobs.folder_of(job) for job in gone)]
    Job.objects.filter(pk__in=[job.pk for job in gone]).delete()  # exports, scores and events go along
    model.delete()
    for folder in folders:
        transaction.on_commit(partial(shutil.rmtree, folder, ignore_errors=True))


def name_for_all(model: Model) -> str:
    """What a model is called where people may read it who may not see it. The name stays when it is shown."""
    return f"private model {model.pk}" if model.private else model.name


def copied(source: Path) -> Path:
    """A copy beside the models, so that taking it over is one rename. No lock is held meanwhile."""
    part = new_part()
    shutil.copytree(source, part)
    return part


def new_part() -> Path:
    """Where a folder is made that is to be a model's; nothing is there yet."""
    part = Path(settings.DATA_DIR) / "models" / f".{uuid.uuid4().hex}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    return part


def settle(model: Model, part: Path) -> None:
    """Let a copy be the model's folder, within the transaction that made its row."""
    shutil.rmtree(model.folder, ignore_errors=True)  # of one that died between rename and commit
    part.replace(model.folder)


@transaction.atomic
def _take_over(user: User, run: Run, *, name: str, part: Path) -> Model:
    run = Run.objects.select_for_update().select_related("job", "version__dataset").get(pk=run.pk)
    earlier = Model.objects.filter(run=run).first()
    if earlier is not None:
        return earlier
    model = Model.objects.create(
        owner=run.owner if run.private else user,
        private=run.private,
        name=name or run.name,
        run=run,
        classes=_classes(run),
        card=card_of(run, by=user),
    )
    settle(model, part)
    return model


def _classes(run: Run) -> list[str]:
    """In the order of the network's outputs."""
    said = [c["name"] for c in (run.test or run.best).get("classes", ())]
    return said or list(run.version.classes)


def _refuse_where_used(model: Model, user: User) -> None:
    batches = model.batches.all()
    if batches.exists():
        labelled = _named(batches, user, "batch", "batches")
        raise RefusedError(f"{model.name} labelled {labelled}. Delete those batches first.")
    waiting = Run.objects.filter(
        start_from__kind="model", start_from__id=model.pk, job__state__in=[Job.State.QUEUED, *Job.ACTIVE]
    )
    if count := waiting.count():
        begin, have = ("begins", "has") if count == 1 else ("begin", "have")
        named = _named(waiting, user, "run", "runs")
        raise RefusedError(f"{named} {begin} with {model.name} and {have} not ended yet.")


def _named(rows: QuerySet[Any], user: User, one: str, many: str) -> str:
    """The names of a few rows, without those that the user may not see, and how many more there are."""
    seen = visible(rows, user)
    words = [f"“{name}”" for name in seen.values_list("name", flat=True)[:MOST_NAMED]]
    more = seen.count() - len(words)
    hidden = rows.count() - seen.count()
    if more:
        words.append(f"{more:,} more")
    if hidden:
        noun = "" if words else f"{one if hidden == 1 else many} "
        words.append(f"{hidden:,} {noun}that {'is' if hidden == 1 else 'are'} private to others")
    return get_text_list(words, "and")
