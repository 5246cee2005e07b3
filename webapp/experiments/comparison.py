"""An experiment's runs as cells: equal in all but the seed, with mean and interval over their seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from mmfrm.settings import settings_of
from webapp.experiments.models import Run, Steering
from webapp.experiments.setting_fields import NOT_OFFERED, shown
from webapp.experiments.steered import as_it_went
from webapp.experiments.steering import RATES
from webapp.experiments.sweeps import SEED

FIGURES = {
    "accuracy": "Accuracy",
    "mean_class_accuracy": "Mean-class accuracy",
    "macro_f1": "Macro-F1",
}
# Student's t, 97.5 %, for 1 to 30 degrees of freedom; above, the normal distribution's value is close.
T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Mean:
    """Over the seeds of a cell. `half` is half the width of the 95 % interval; None for one seed."""

    value: float
    half: float | None


@dataclass(frozen=True)
class Cell:
    """Runs that differ in their seeds only, and were not steered apart."""

    values: tuple[str, ...]  # of the settings that vary in the experiment
    runs: int
    finished: int
    means: tuple[Mean | None, ...]  # in the order of FIGURES, over the finished runs


@dataclass(frozen=True)
class Comparison:
    """The cells of an experiment, the best mean first."""

    titles: tuple[str, ...]
    cells: tuple[Cell, ...]
    split: str  # whose figures: test or validation


def compare(runs: Sequence[Run]) -> Comparison:
    """Cells of runs as they went. Test figures where every finished run has them, else the best epoch's."""
    settings = {run.pk: {s.name: s for s in settings_of(as_it_went(run))} for run in runs}
    orders = _rate_orders(runs)
    names = [n for n in next(iter(settings.values()), {}) if n != SEED and n not in NOT_OFFERED]
    varied = [n for n in names if len({found[n].value for found in settings.values()}) > 1]
    titles = [next(iter(settings.values()))[n].title for n in varied]
    finished = [run for run in runs if run.job.state == run.job.State.FINISHED]
    split = "test" if finished and all(run.test for run in finished) else "validation"
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        values = [shown(settings[run.pk][n].value) for n in varied]
        values += [str(run.version), run.start_from.get("name", "scratch"), orders.get(run.pk, "as planned")]
        groups.setdefault(tuple(values), []).append(run)
    kept = list(range(len(varied)))
    for place, title in ((-3, "Data set"), (-2, "Start from"), (-1, "Learning rate as ordered")):
        if len({values[place] for values in groups}) > 1:
            kept.append(len(varied) + 3 + place)
            titles.append(title)
    cells = [_cell(tuple(values[i] for i in kept), rows, split) for values, rows in groups.items()]
    cells.sort(key=lambda cell: -(cell.means[0].value if cell.means[0] else -1.0))
    return Comparison(tuple(titles), tuple(cells), split)


def _rate_orders(runs: Sequence[Run]) -> dict[int, str]:
    """Of runs whose learning rate somebody changed on the way: how, and from where on."""
    rows = Steering.objects.filter(
        run__in=[run.pk for run in runs], do__in=RATES, step__isnull=False
    ).order_by("step", "pk")
    said: dict[int, list[str]] = {}
    for row in rows:
        said.setdefault(row.run_id, []).append(f"{row} from step {(row.step or 0) + 1:,} on")
    return {pk: "; ".join(orders) for pk, orders in said.items()}


def mean_of(values: Iterable[float]) -> Mean | None:
    """Mean and 95 % interval (Student 1908) of independent repetitions; None without any."""
    found = list(values)
    if not found:
        return None
    if len(found) == 1:
        return Mean(found[0], None)
    t = T[len(found) - 2] if len(found) - 2 < len(T) else 1.96
    return Mean(fmean(found), t * stdev(found) / math.sqrt(len(found)))


def _cell(values: tuple[str, ...], runs: Sequence[Run], split: str) -> Cell:
    done = [run for run in runs if run.job.state == run.job.State.FINISHED]
    figures: list[dict[str, Any]] = [run.test if split == "test" else run.best for run in done]
    means = [mean_of(f[name] for f in figures if f.get(name) is not None) for name in FIGURES]
    return Cell(values, len(runs), len(done), tuple(means))
