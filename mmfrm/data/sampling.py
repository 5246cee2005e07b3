"""In which order an epoch visits the training samples: a pure function of the seed and the epoch."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmfrm.config import DataConfig

# The rarer classes are shown more often the smaller the power is, at the cost of the frequent ones.
POWERS = {"balanced": 0.0, "sqrt": 0.5, "mild": 0.75, "shuffled": 1.0}


class Labelled(Protocol):
    """What is needed of a split."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) class indices."""
        ...


def order(split: Labelled, config: DataConfig, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Positions within the split, as many as it has samples.

    shuffled: each once. Else classes in proportion to a power of their counts (POWERS), images of a class
    in turn.
    """
    rng = np.random.default_rng([seed, epoch, 0x0DE4])
    labels = split.labels
    if config.sampling == "shuffled" or len(labels) == 0:
        return rng.permutation(len(labels)).astype(np.int64)
    return rng.permutation(_quota(labels, config.sampling, rng))


def _quota(labels: NDArray[np.int64], sampling: str, rng: np.random.Generator) -> NDArray[np.int64]:
    present, counts = np.unique(labels, return_counts=True)
    weights = counts ** POWERS[sampling]
    ends = np.round(np.cumsum(weights) / weights.sum() * len(labels)).astype(np.int64)
    quotas = np.diff(ends, prepend=0)
    drawn = [
        _in_turn(np.flatnonzero(labels == k), quota, rng) for k, quota in zip(present, quotas, strict=True)
    ]
    return np.concatenate(drawn)


def _in_turn(members: NDArray[np.int64], quota: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`quota` members; none comes twice before all have come once."""
    rounds = [rng.permutation(members) for _ in range(-(-int(quota) // len(members)))]
    return np.concatenate(rounds)[:quota] if rounds else members[:0]
