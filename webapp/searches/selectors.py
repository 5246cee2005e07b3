"""What pages read of searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from webapp.accounts.models import User
from webapp.accounts.permissions import visible
from webapp.experiments.models import Run
from webapp.experiments.points import short
from webapp.experiments.setting_fields import shown
from webapp.jobs.models import Job
from webapp.jobs.selectors import why_waiting
from webapp.searches import history
from webapp.searches.models import Search, Trial
from webapp.searches.space import Dimension, from_json

Outcome = Trial.Outcome
MORE = 10  # trials that one press adds
RANKED = {outcome: place for place, outcome in enumerate(Outcome.values)}


@dataclass(frozen=True)
class TrialRow:
    """A trial as the table shows it."""

    trial: Trial
    outcome: str
    label: str
    value: float | None  # of the best epoch so far
    epochs: int  # ended
    params: tuple[Any, ...]  # in the order of the space
    cells: tuple[tuple[str, bool], ...]  # the same in words, and whether it is a number
    is_best: bool


@dataclass(frozen=True)
class Column:
    """A head of the trials' table, and the address that sorts by it."""

    key: str
    title: str
    query: str
    direction: str  # ascending, descending or none, as aria-sort has it
    is_number: bool


def rows(search: Search, user: User) -> list[TrialRow]:
    """The trials whose runs somebody may see, first to last."""
    seen = visible(Run.objects.all(), user)
    trials = list(history.rows_of(search).filter(run__in=seen))
    done, dimensions = history.epochs_done(trials), from_json(search.space)
    complete = {t.pk: t.run.best[search.figure] for t in trials if t.outcome == Outcome.COMPLETE}
    sign = 1 if search.is_maximised else -1
    best = max(complete, key=lambda pk: sign * complete[pk], default=None)  # the earlier of equals
    return [_row(t, dimensions, done[t.number], is_best=t.pk == best) for t in trials]


def sorted_rows(search: Search, found: Sequence[TrialRow], sort: str) -> list[TrialRow]:
    """By "-value", "number", a setting's name …; a dash in front turns it round. Empty cells come last."""
    key, turned = sort.removeprefix("-"), sort.startswith("-")
    names = [dimension.name for dimension in from_json(search.space)]

    def what(row: TrialRow) -> Any:
        if key in names:
            value = row.params[names.index(key)]
            return value if isinstance(value, int | float) else str(value)
        return {"value": row.value, "epochs": row.epochs, "outcome": RANKED[row.outcome]}.get(
            key, row.trial.number
        )

    known = sorted((row for row in found if what(row) is not None), key=what, reverse=turned)
    return known + [row for row in found if what(row) is None]


def columns(search: Search, sort: str) -> list[Column]:
    """The heads of the table."""
    figure = search.get_objective_display()
    heads = [("number", "Trial", True), ("outcome", "Outcome", False), ("value", figure, True)]
    heads += [("epochs", "Epochs", True)]
    heads += [(d.name, d.title, d.kind != "choice") for d in from_json(search.space)]
    return [_column(key, title, is_number, sort) for key, title, is_number in heads]


def summary(search: Search, found: Sequence[TrialRow]) -> dict[str, Any]:
    """What stands above the charts."""
    counts = {outcome: sum(row.outcome == outcome for row in found) for outcome in Outcome.values}
    return {
        "search": search,
        "figure": search.get_objective_display(),
        "begun": len(found),
        "ended": len(found) - counts[Outcome.OPEN],
        "counts": counts,
        "best": next((row for row in found if row.is_best), None),
        "has_figures": any(row.value is not None for row in found),
        "now": in_words(search, found),
        "next_budget": (search.budget if search.is_open else len(found)) + MORE,
        "share": f"{100 * min(1.0, (len(found) - counts[Outcome.OPEN]) / search.budget):.1f}",
    }


def in_words(search: Search, found: Sequence[TrialRow]) -> str:
    """What happens now, or why nothing does."""
    if search.state != Search.State.GOING:
        return search.reason
    opened = [row for row in found if row.outcome == Outcome.OPEN]
    if not opened:
        return "The next trial is being chosen; that takes some seconds."
    return " ".join(_doing(row) for row in opened[:4])


def chart(search: Search, found: Sequence[TrialRow]) -> dict[str, Any]:
    """What the charts draw: trials in columns, and each setting's importance."""
    dimensions = from_json(search.space)
    shares = search.importance.get("shares", {})
    return {
        "figure": search.get_objective_display(),
        "is_share": search.objective != "loss",
        "is_maximised": search.is_maximised,
        "number": [row.trial.number + 1 for row in found],
        "run": [row.trial.run_id for row in found],
        "outcome": [row.outcome for row in found],
        "value": [short(row.value) for row in found],
        "settings": [_slice(d, [row.params[place] for row in found]) for place, d in enumerate(dimensions)],
        "importance": [
            {"title": d.title, "share": short(shares[d.name])} for d in dimensions if d.name in shares
        ],
        "importance_of": search.importance.get("of", 0),
    }


def _row(trial: Trial, dimensions: Sequence[Dimension], epochs: int, *, is_best: bool) -> TrialRow:
    params = history.params_of(trial, dimensions)
    return TrialRow(
        trial=trial,
        outcome=trial.outcome,
        label=Outcome(trial.outcome).label,
        value=trial.run.best.get(trial.search.figure),
        epochs=epochs,
        params=tuple(params.values()),
        cells=tuple((shown(params[d.name]), d.kind != "choice") for d in dimensions),
        is_best=is_best,
    )


def _slice(dimension: Dimension, values: Sequence[Any]) -> dict[str, Any]:
    is_choice = dimension.kind == "choice"
    return {
        "title": dimension.title,
        "is_log": dimension.log,
        "choices": [shown(choice) for choice in dimension.choices],
        "values": [shown(value) for value in values] if is_choice else list(values),
    }


def _column(key: str, title: str, is_number: bool, sort: str) -> Column:
    is_up, is_down = sort == key, sort == f"-{key}"
    # The first press shows what is wanted first: the highest figure, but the smallest number.
    first, second = (f"-{key}", key) if key in ("value", "epochs") else (key, f"-{key}")
    return Column(
        key=key,
        title=title,
        query=second if sort == first else first,
        direction="ascending" if is_up else "descending" if is_down else "none",
        is_number=is_number,
    )


def _doing(row: TrialRow) -> str:
    job = row.trial.run.job
    name = f"Trial {row.trial.number + 1}"
    if job.state == Job.State.QUEUED:
        return f"{name} waits: {why_waiting(job)}"
    if job.state == Job.State.PAUSED:
        return f"{name} is paused, and takes a place until it is resumed or stopped."
    return f"{name} is {job.get_state_display().lower()}."
