"""From annotators' votes to labels: the FERPlus paper's cleaning and three rules. numpy, no torch.

Source: Barsoum, Zhang, Canton Ferrer, Zhang, "Training deep networks for facial expression recognition
with crowd-sourced label distribution", ICMI 2016 (arXiv 1608.01041), and its published code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmfrm.classes import NOT_AN_EXPRESSION, canonical

RULES = ("majority", "argmax", "soft")
DROPPED = -1  # the label of a sample that a rule leaves out


@dataclass(frozen=True)
class Labelled:
    """What a rule makes of the votes of N samples over K classes."""

    labels: NDArray[np.int64]  # (N,), DROPPED where the rule leaves the sample out
    distributions: NDArray[np.float32] | None  # (N, K), rows of kept samples sum to 1; soft only


def class_columns(vote_columns: Sequence[str]) -> list[int]:
    """Positions of the vote columns that are classes, that is neither 'unknown' nor 'NF'."""
    return [i for i, name in enumerate(vote_columns) if canonical(name) not in NOT_AN_EXPRESSION]


def cleaned(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Votes (N, V) without single votes, which the paper takes for slips."""
    return np.where(votes <= 1, 0, votes)


def label_votes(votes: NDArray[np.int64], columns: Sequence[int], rule: str) -> Labelled:
    """Label samples by their votes.

    votes: (N, V) counts over all vote columns; columns: the K of them that are classes, in class order.
    majority: after cleaning, more than half of what is left must agree, on a class.
    argmax: the most votes win, ties go to the first column, and the winner must be a class.
    soft: as argmax of the cleaned votes, and the distribution is what is left of the votes for classes.
    Raises ValueError for an unknown rule.
    """
    if rule not in RULES:
        raise ValueError(f"label rule {rule!r} is not one of {', '.join(RULES)}")
    counted = votes if rule == "argmax" else cleaned(votes)
    winner = counted.argmax(axis=1)
    top = counted.max(axis=1)
    to_class = np.full(votes.shape[1], DROPPED, np.int64)
    to_class[list(columns)] = np.arange(len(columns))
    kept = top > 0
    if rule == "majority":
        kept &= 2 * top > counted.sum(axis=1)
    labels = np.where(kept, to_class[winner], DROPPED)
    if rule != "soft":
        return Labelled(labels, None)
    for_classes = counted[:, list(columns)].astype(np.float32)
    total = np.maximum(for_classes.sum(axis=1, keepdims=True), 1)
    return Labelled(labels, for_classes / total)
