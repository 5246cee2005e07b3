"""Images that occur more than once, exactly or nearly, and what leaks across splits. numpy, no torch.

Exact: the decoded pixels are equal. Near: perceptual hashes differ in at most NEAR_BITS of 64 bits.
Both searches are complete: near pairs are found by splitting the hash into NEAR_BITS + 1 bands, one of
which must be equal in any pair that close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mmfrm.data.native import Sample

NEAR_BITS = 3
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class Duplicates:
    """Groups of sample positions, each at least two; near groups contain exact ones too."""

    exact: list[list[int]]
    near: list[list[int]]


@dataclass(frozen=True)
class Leaks:
    """Training samples whose duplicate is held out."""

    exact: list[int] = field(default_factory=list)  # positions
    near: list[int] = field(default_factory=list)  # positions that are no exact leaks


def find_duplicates(samples: Sequence[Sample]) -> Duplicates:
    """Exact and near groups. Near-constant images take part in exact groups only: their hash is noise."""
    pixels = [sample.pixels or sample.sha256 for sample in samples]
    _, exact_key = np.unique(np.array(pixels, dtype="U64"), return_inverse=True)
    hashes = np.array([int(sample.phash or "0", 16) for sample in samples], np.uint64)
    telling = np.array([bool(s.phash) and "near_constant" not in s.flags for s in samples], bool)
    components = _near_components(hashes, telling, exact_key)
    return Duplicates(_groups(exact_key), _groups(components))


def find_leaks(duplicates: Duplicates, splits: Sequence[str | None]) -> Leaks:
    """Training positions with a duplicate in val or test."""
    exact = _leaking(duplicates.exact, splits)
    near = _leaking(duplicates.near, splits)
    return Leaks(sorted(exact), sorted(near - exact))


def crossing(groups: Sequence[Sequence[int]], splits: Sequence[str | None]) -> list[Sequence[int]]:
    """The groups that lie in more than one split."""
    return [group for group in groups if len({splits[i] for i in group}) > 1]


def summary(duplicates: Duplicates, samples: Sequence[Sample]) -> dict[str, int]:
    """Counts for a report."""
    splits = [sample.split for sample in samples]
    labels = [sample.label for sample in samples]
    leaks = find_leaks(duplicates, splits)
    conflicting = [g for g in duplicates.exact if len({labels[i] for i in g} - {None}) > 1]
    return {
        "exact_groups": len(duplicates.exact),
        "exact_images": sum(len(group) for group in duplicates.exact),
        "exact_groups_across_splits": len(crossing(duplicates.exact, splits)),
        "exact_groups_with_conflicting_labels": len(conflicting),
        "near_groups": len(duplicates.near),
        "near_groups_across_splits": len(crossing(duplicates.near, splits)),
        "leaking_exact": len(leaks.exact),
        "leaking_near": len(leaks.near),
    }


def _leaking(groups: Sequence[Sequence[int]], splits: Sequence[str | None]) -> set[int]:
    leaking: set[int] = set()
    for group in groups:
        if any(splits[i] in HELD_OUT for i in group):
            leaking.update(i for i in group if splits[i] == "train")
    return leaking


def _groups(keys: NDArray[np.int64]) -> list[list[int]]:
    """Positions with equal keys, where there are at least two, by first position."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    return sorted(order[a:b].tolist() for a, b in zip(starts, ends, strict=True) if b - a > 1)


def _near_components(
    hashes: NDArray[np.uint64], telling: NDArray[np.bool_], exact_key: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A number for each sample that near duplicates share: components of the graph of near pairs."""
    parent = _first_of_each(exact_key)
    positions = np.flatnonzero(telling)
    if len(positions) == 0:
        return parent
    unique, first, inverse = np.unique(hashes[positions], return_index=True, return_inverse=True)
    links = [(positions, positions[first][inverse])]  # equal hashes
    links += [(positions[first[a]], positions[first[b]]) for a, b in _close_pairs(unique)]
    for a, b in links:
        _unite(parent, a, b)
    return parent


def _first_of_each(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def _close_pairs(unique: NDArray[np.uint64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Index pairs of distinct hashes at most NEAR_BITS apart, a batch an entry (pairs may repeat)."""
    found = []
    edges = np.linspace(0, 64, NEAR_BITS + 2).astype(int)
    for low, high in pairwise(edges):
        mask = np.uint64(((1 << int(high - low)) - 1) << int(low))
        band = unique & mask
        order = np.argsort(band, kind="stable")
        band, ranked = band[order], unique[order]
        alive = np.arange(len(order))
        for step in range(1, len(order)):  # as far as the largest bucket is wide
            alive = alive[alive + step < len(order)]
            alive = alive[band[alive] == band[alive + step]]
            if len(alive) == 0:
                break
            apart = np.bitwise_count(ranked[alive] ^ ranked[alive + step])
            near = alive[apart <= NEAR_BITS]
            if len(near):
                found.append((order[near], order[near + step]))
    return found


def _unite(parent: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
    """Join the components of each pair, in place, by repeatedly handing on the smallest number."""
    while True:
        low = np.minimum(parent[a], parent[b])
        high = np.maximum(parent[a], parent[b])
        moved = low != high
        if not moved.any():
            return
        np.minimum.at(parent, high[moved], low[moved])
        while True:  # every number names a sample; follow it to the sample that names itself
            further = parent[parent]
            if np.array_equal(further, parent):
                break
            parent[:] = further
