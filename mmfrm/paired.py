"""Two answers to the same images, compared: which is right more often, by how much, and whether by chance.

Intervals are by the paired bootstrap: images are drawn again with replacement, each with both answers, so
that what is hard for both does not widen the difference (Efron & Tibshirani 1993, chapter 16). Since every
figure depends only on how many images have which (truth, answer before, answer after), these counts are
drawn from the multinomial distribution, which is the same and costs nothing. Shares of right answers also
get McNemar's exact test (Psychometrika 12, 1947): whether the images that only one of the two gets right
are split evenly. numpy, no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Sides = tuple[str, str]
SIDES: Sides = ("before", "after")


def before_and_after(
    labels: Ints, before: Ints, after: Ints, classes: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Figures of both and their differences, overall and a class.

    labels, before, after: (n,) class indices; an answer of len(classes) is one that is no class here.
    Each figure: {"before", "after", "difference", "low", "high"} (95 %, after − before), shares of right
    answers also "p" (McNemar), "gained" and "lost" images. None where a class has no image.
    """
    counts = _Counts.of(labels, before, after, len(classes))
    drawn = counts.drawn(np.random.default_rng(seed), DRAWS)
    overall = {
        "accuracy": _figure(_accuracy, counts, drawn) | _mcnemar(labels, before, after),
        "mean_class_accuracy": _figure(_mean_class_accuracy, counts, drawn),
        "macro_f1": _figure(_macro_f1, counts, drawn),
    }
    rows = []
    for k, name in enumerate(classes):
        mine = labels == k
        row: dict[str, Any] = {"name": name, "count": int(mine.sum())}
        for what, function in (("recall", _recall), ("precision", _precision), ("f1", _f1)):
            row[what] = _figure(_of_class(function, k), counts, drawn)
        row["recall"] |= _mcnemar(labels[mine], before[mine], after[mine])
        rows.append(row)
    return {
        "count": len(labels),
        "overall": overall,
        "classes": rows,
        "confusion": {
            side: counts.confusion(i).sum(axis=0).astype(int).tolist() for i, side in enumerate(SIDES)
        },
    }


@dataclass(frozen=True)
class _Side:
    """Of one of the two answers, for each drawing: right, true and answered images a class, (d, K)."""

    right: Floats
    true: Floats
    answered: Floats


@dataclass(frozen=True)
class _Counts:
    """How many images have which truth and answers: the cells that occur, and drawings of their counts."""

    cells: Ints  # (c, 3): truth, before, after
    counts: Floats  # (d, c)
    classes: int

    @classmethod
    def of(cls, labels: Ints, before: Ints, after: Ints, classes: int) -> _Counts:
        cells, counts = np.unique(np.stack([labels, before, after], axis=1), axis=0, return_counts=True)
        return cls(cells, counts[None].astype(np.float64), classes)

    def drawn(self, draw: np.random.Generator, times: int) -> _Counts:
        total = self.counts.sum()
        again = draw.multinomial(int(total), self.counts[0] / total, size=times)
        return _Counts(self.cells, again.astype(np.float64), self.classes)

    def side(self, which: int) -> _Side:
        truth, answer = self.cells[:, 0], self.cells[:, 1 + which]
        is_true = truth[:, None] == np.arange(self.classes)  # (c, K)
        is_answer = answer[:, None] == np.arange(self.classes)
        return _Side(
            right=self.counts @ (is_true & is_answer).astype(np.float64),
            true=self.counts @ is_true.astype(np.float64),
            answered=self.counts @ is_answer.astype(np.float64),
        )

    def confusion(self, which: int) -> Floats:
        """(c, K, K or K + 1): a last column for answers that are no class here, where there are any."""
        answers = self.cells[:, 1 + which]
        width = max(self.classes, int(answers.max(initial=0)) + 1)
        matrix = np.zeros((len(self.cells), self.classes, width))
        matrix[np.arange(len(self.cells)), self.cells[:, 0], answers] = self.counts[0]
        return matrix


Figure = Callable[[_Side], Floats]


def _of_class(function: Figure, k: int) -> Figure:
    return lambda side: function(side)[..., k]


def _figure(function: Figure, counts: _Counts, drawn: _Counts) -> dict[str, Any]:
    was, now = (float(function(counts.side(i))[0]) for i in range(2))
    differences = function(drawn.side(1)) - function(drawn.side(0))
    differences = differences[~np.isnan(differences)]
    low, high = np.percentile(differences, [2.5, 97.5]) if len(differences) else (math.nan, math.nan)
    values = {"before": was, "after": now, "difference": now - was, "low": float(low), "high": float(high)}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _accuracy(side: _Side) -> Floats:
    return _share(side.right.sum(-1), side.true.sum(-1))


def _recall(side: _Side) -> Floats:
    return _share(side.right, side.true)


def _precision(side: _Side) -> Floats:
    """0 where a class is never answered but has images, as in `mmfrm.statistics`."""
    shares = _share(side.right, side.answered)
    return np.where((side.answered == 0) & (side.true > 0), 0.0, shares)


def _f1(side: _Side) -> Floats:
    return _share(2 * side.right, np.where(side.true > 0, side.true + side.answered, 0.0))


def _mean_class_accuracy(side: _Side) -> Floats:
    return _mean_of_present(_recall(side), side)


def _macro_f1(side: _Side) -> Floats:
    return _mean_of_present(_f1(side), side)


def _mean_of_present(values: Floats, side: _Side) -> Floats:
    present = side.true > 0
    return _share(np.where(present, values, 0.0).sum(-1), present.sum(-1).astype(np.float64))


def _share(part: Floats, whole: Floats) -> Floats:
    """part / whole, not a number where there is no whole."""
    shares: Floats = np.full(np.shape(part), math.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def _mcnemar(labels: Ints, before: Ints, after: Ints) -> dict[str, Any]:
    """Exact and two-sided: the chance that what only one of the two gets right is split so unevenly."""
    gained = int(((before != labels) & (after == labels)).sum())
    lost = int(((before == labels) & (after != labels)).sum())
    return {"gained": gained, "lost": lost, "p": _two_sided(min(gained, lost), gained + lost)}


def _two_sided(fewer: int, n: int) -> float:
    """P(at most `fewer` or at least n − `fewer` heads of n fair coins), in logarithms: n may be large."""
    if n == 0:
        return 1.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2)
        for i in range(fewer + 1)
    ]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))
