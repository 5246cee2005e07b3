"""What the trials of a search have shown so far, read from their runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Max, QuerySet
from django.db.models.fields.json import KT

from mmfrm.settings import settings_of
from webapp.jobs.models import JobEvent
from webapp.searches.models import Search, Trial
from webapp.searches.space import Dimension, from_json


@dataclass(frozen=True)
class Tried:
    """A trial as the optimiser sees it: its settings, its figure after each epoch, and its end."""

    number: int
    outcome: str
    params: dict[str, Any]
    value: float | None  # of the best epoch, once complete
    curve: dict[int, float] = field(default_factory=dict)  # epochs done (from 1) → figure; NaN where none
    pruned_after: int | None = None

    def until(self, epochs: int) -> Tried:
        """The same trial as it was after so many epochs."""
        curve = {epoch: value for epoch, value in self.curve.items() if epoch <= epochs}
        return Tried(self.number, Trial.Outcome.OPEN, self.params, None, curve)


def rows_of(search: Search) -> QuerySet[Trial]:
    """Its trials with their runs, first to last."""
    return Trial.objects.filter(search=search).select_related("search", "run__job").order_by("number")


def tried(search: Search, rows: Sequence[Trial]) -> list[Tried]:
    """Everything that is known of the trials. Test figures are not among it."""
    space = from_json(search.space)
    curves = _curves(search, rows)
    return [
        Tried(
            number=row.number,
            outcome=row.outcome,
            params=params_of(row, space),
            value=row.run.best.get(search.figure) if row.outcome == Trial.Outcome.COMPLETE else None,
            curve=curves.get(row.run.job_id, {}),
            pruned_after=row.pruned_after,
        )
        for row in rows
    ]


def params_of(row: Trial, space: Sequence[Dimension]) -> dict[str, Any]:
    """The searched settings as the run has them."""
    values = {s.name: s.value for s in settings_of(row.run.train_config)}
    return {dimension.name: values[dimension.name] for dimension in space}


def epochs_done(rows: Sequence[Trial]) -> dict[int, int]:
    """How many epochs each trial has ended, by its number."""
    done = (
        JobEvent.objects.filter(job__in=[row.run.job_id for row in rows], kind="epoch")
        .values_list("job_id")
        .annotate(last=Max("key"))
    )
    by_job = {job: (last or 0) + 1 for job, last in done}
    return {row.number: by_job.get(row.run.job_id, 0) for row in rows}


def _curves(search: Search, rows: Sequence[Trial]) -> dict[int, dict[int, float]]:
    events = (
        JobEvent.objects.filter(job__in=[row.run.job_id for row in rows], kind="epoch")
        .annotate(figure=KT(f"payload__val__{search.figure}"))
        .order_by("job_id", "key")
        .values_list("job_id", "key", "figure")
    )
    curves: dict[int, dict[int, float]] = {}
    for job, key, figure in events:
        curves.setdefault(job, {})[(key or 0) + 1] = math.nan if figure is None else float(figure)
    return curves
