"""How far people agree beyond chance. Categories are numbered 0…K-1; intervals are 95 %, large-sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z = 1.959964


@dataclass(frozen=True)
class Kappa:
    """A coefficient with its interval, from `of` faces; 1 is full agreement, 0 what chance would give."""

    value: float
    low: float
    high: float
    of: int


def cohen(table: Sequence[Sequence[int]]) -> Kappa | None:
    """Two people's kappa from their (K, K) table of counts; None where chance alone explains everything.

    Cohen, Educ. Psychol. Meas. 20, 1960; variance: Fleiss, Cohen & Everitt, Psychol. Bull. 72, 1969.
    """
    total = sum(map(sum, table))
    if total == 0:
        return None
    n = range(len(table))
    p = [[count / total for count in row] for row in table]
    rows = [sum(row) for row in p]
    columns = [sum(row[k] for row in p) for k in n]
    chance = sum(rows[k] * columns[k] for k in n)
    if chance > 1 - 1e-12:
        return None
    kappa = (sum(p[k][k] for k in n) - chance) / (1 - chance)
    right = sum(p[k][k] * (1 - (rows[k] + columns[k]) * (1 - kappa)) ** 2 for k in n)
    wrong = (1 - kappa) ** 2 * sum(p[i][j] * (columns[i] + rows[j]) ** 2 for i in n for j in n if i != j)
    variance = (right + wrong - (kappa - chance * (1 - kappa)) ** 2) / (1 - chance) ** 2 / total
    return _interval(kappa, variance, total)


def fleiss(counts: Sequence[Sequence[int]]) -> Kappa | None:
    """Kappa of many people, not always the same, from each face's answers by category (N, K).

    Each face needs at least two answers. Fleiss, Psychol. Bull. 76, 1971; variance: Gwet, Educ. Psychol.
    Meas. 81, 2021. None where chance alone explains everything, or of one face.
    """
    total = len(counts)
    if total < 2:
        return None
    shares = [[k / sum(row) for k in row] for row in counts]
    mean = [sum(column) / total for column in zip(*shares, strict=True)]
    chance = sum(p * p for p in mean)
    if chance > 1 - 1e-12:
        return None
    agreed = [sum(k * (k - 1) for k in row) / (sum(row) * (sum(row) - 1)) for row in counts]
    kappa = (sum(agreed) / total - chance) / (1 - chance)
    parts = [
        (a - chance) / (1 - chance)
        - 2 * (1 - kappa) * (sum(m * p for m, p in zip(mean, share, strict=True)) - chance) / (1 - chance)
        for a, share in zip(agreed, shares, strict=True)
    ]
    return _interval(kappa, sum((part - kappa) ** 2 for part in parts) / (total - 1) / total, total)


def specific(counts: Sequence[Sequence[int]]) -> list[float | None]:
    """For each category: where one person says it, how often another says it too; None where nobody does.

    Proportions of specific agreement: Spitzer & Fleiss, Br. J. Psychiatry 125, 1974.
    """
    found: list[float | None] = []
    for k in range(len(counts[0]) if counts else 0):
        pairs = sum(row[k] * (sum(row) - 1) for row in counts)
        found.append(sum(row[k] * (row[k] - 1) for row in counts) / pairs if pairs else None)
    return found


def _interval(kappa: float, variance: float, total: int) -> Kappa:
    reach = Z * math.sqrt(max(0.0, variance))
    return Kappa(kappa, max(-1.0, kappa - reach), min(1.0, kappa + reach), total)
