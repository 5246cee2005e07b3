"""Weights to choose in a form: models, and finished runs, which become models by being used."""

from __future__ import annotations

from django.db.models import QuerySet

from webapp.accounts.models import User
from webapp.accounts.permissions import visible
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.registry.models import Model
from webapp.registry.services import promote

Groups = list[tuple[str, list[tuple[str, str]]]]  # what a select shows: a title, and values with names


def models(user: User) -> QuerySet[Model]:
    """Models that somebody may use, newest first."""
    return visible(Model.objects.all(), user).order_by("-created_at")


def runs(user: User) -> QuerySet[Run]:
    """Finished runs whose best checkpoint is not a model yet, newest first."""
    finished = Run.objects.filter(job__state=Job.State.FINISHED, model=None)
    return visible(finished, user).select_related("experiment").order_by("-created_at")


def choices(of_models: QuerySet[Model], of_runs: QuerySet[Run]) -> Groups:
    """These, as `model_of` takes them; empty where there are none."""
    groups: Groups = [
        ("Models", [(f"model:{m.pk}", m.name) for m in of_models]),
        ("Best checkpoints of runs", [(f"run:{r.pk}", f"{r.name} · {r.experiment.name}") for r in of_runs]),
    ]
    return [(title, rows) for title, rows in groups if rows]


def model_of(user: User, choice: str) -> Model:
    """The model of a choice; a run's best checkpoint becomes one by being chosen.

    Raises ObjectDoesNotExist where somebody may not use it, RefusedError where a run has no weights.
    """
    kind, _, pk = choice.partition(":")
    return models(user).get(pk=pk) if kind == "model" else promote(user, runs(user).get(pk=pk))
