"""Images that occur more than once, exactly or nearly, and what leaks across splits. numpy, no torch.

Exact: the decoded pixels are equal; found completely. Near: perceptual hashes differ in few of 64 bits,
and the pictures, seen small and grey, correlate by at least SIMILAR. The hash alone is not enough for faces,
which all look somewhat alike. On FERPlus, pairs above 0.85 were the same photograph, cropped, compressed or
watermarked differently; below 0.8 most were two people.

Pairs of close hashes are found completely by splitting the hash into one band more than bits may differ:
one band must be equal in any pair that close.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmfrm.data.measure import thumbnail
from mmfrm.data.native import Sample, content_key, read_bytes, write_whole
from mmfrm.data.pixel_room import ROOM
from mmfrm.images import decode

SIMILAR = 0.88
MOST_LOOKED_AT = 100_000  # images compared by their pixels, the closest first: bounds the memory
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class Duplicates:
    """Groups of sample positions, each at least two; near groups contain exact and near ones."""

    exact: list[list[int]]
    near: list[list[int]]


@dataclass(frozen=True)
class Leaks:
    """Training samples whose duplicate is held out."""

    exact: list[int] = field(default_factory=list)  # positions
    near: list[int] = field(default_factory=list)  # positions that are no exact leaks


def duplicates_of(folder: Path, samples: Sequence[Sample]) -> Duplicates:
    """Duplicates of a data set, looked up in its folder, or found and kept there if it may be written."""
    path = folder / "duplicates.json"
    key = content_key(samples)
    with suppress(OSError, ValueError, KeyError):
        kept = json.loads(path.read_text())
        if kept["key"] == key:
            return Duplicates(kept["exact"], kept["near"])
    found = find_duplicates(samples, lambda sample: look(folder, sample))
    with suppress(OSError):
        kept = {"key": key, "exact": found.exact, "near": found.near}
        write_whole(path, json.dumps(kept, separators=(",", ":")))
    return found


def look(folder: Path, sample: Sample) -> NDArray[np.uint8]:
    """A sample's picture, small and grey: (32, 32)."""
    data = read_bytes(folder, sample.pack, sample.offset, sample.length)
    with ROOM.held(data):
        small = thumbnail(decode(data, at_least=64), sample.grey)
    halved: NDArray[np.uint8] = small.reshape(32, 2, 32, 2).mean(axis=(1, 3)).astype(np.uint8)
    return halved


def find_duplicates(samples: Sequence[Sample], look: Callable[[Sample], NDArray[np.uint8]]) -> Duplicates:
    """Exact and near groups. Near-constant images take part in exact groups only: their hash is noise.

    look: a sample's picture, small and grey; asked only for candidates.
    """
    pixels = [sample.pixels or sample.sha256 for sample in samples]
    _, exact_key = np.unique(np.array(pixels, dtype=str), return_inverse=True)
    hashes = np.array([int(sample.phash or "0", 16) for sample in samples], np.uint64)
    telling = np.array([bool(s.phash) and "near_constant" not in s.flags for s in samples], bool)
    components = _first_of_each(exact_key)
    candidates = _candidates(hashes, np.flatnonzero(telling), components)
    near = _similar(candidates, lambda position: look(samples[position]))
    _unite(components, near[:, 0], near[:, 1])
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
    if len(keys) == 0:
        return []
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    return sorted(order[a:b].tolist() for a, b in zip(starts, ends, strict=True) if b - a > 1)


def _first_of_each(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def _candidates(
    hashes: NDArray[np.uint64], positions: NDArray[np.int64], first_equal: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Position pairs (P, 2) whose hashes are close, closest first; of exact duplicates only the first."""
    positions = positions[first_equal[positions] == positions]
    unique, first, inverse = np.unique(hashes[positions], return_index=True, return_inverse=True)
    same = np.stack([np.arange(len(positions)), first[inverse]], axis=1)
    same = same[same[:, 0] != same[:, 1]]
    pairs, apart = _close_pairs(unique, _bits(len(unique)))
    pairs = pairs[np.argsort(apart, kind="stable")]
    found: NDArray[np.int64] = positions[np.concatenate([same, first[pairs]])]
    _, reached = np.unique(found.ravel(), return_index=True)
    if len(reached) > MOST_LOOKED_AT:
        found = found[: np.sort(reached)[MOST_LOOKED_AT] // 2]
    return found


def _bits(count: int) -> int:
    """How many bits may differ: fewer in a larger set, which has more chance pairs and costs more."""
    return 8 if count <= 60_000 else 5 if count <= 400_000 else 3


def _close_pairs(unique: NDArray[np.uint64], bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index pairs (P, 2) of distinct hashes at most `bits` apart, each once, and how far apart they are."""
    found = [np.zeros((0, 2), np.int64)]
    edges = np.linspace(0, 64, bits + 2).astype(int)
    for low, high in pairwise(edges):
        mask = np.uint64(((1 << int(high - low)) - 1) << int(low))
        band = unique & mask
        order = np.argsort(band, kind="stable")
        band, ranked = band[order], unique[order]
        alive = np.arange(len(order))
        for step in range(1, len(order)):  # as far as the largest bucket is wide
            alive = alive[: np.searchsorted(alive, len(order) - step)]
            alive = alive[band[alive] == band[alive + step]]
            if len(alive) == 0:
                break
            near = alive[np.bitwise_count(ranked[alive] ^ ranked[alive + step]) <= bits]
            if len(near):
                found.append(np.sort(np.stack([order[near], order[near + step]], axis=1), axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs, np.bitwise_count(unique[pairs[:, 0]] ^ unique[pairs[:, 1]]).astype(np.int64)


def _similar(pairs: NDArray[np.int64], look: Callable[[int], NDArray[np.uint8]]) -> NDArray[np.int64]:
    """The pairs whose pictures correlate."""
    wanted, at = np.unique(pairs, return_inverse=True)
    if len(wanted) == 0:
        return pairs
    # Threads: decoding releases the interpreter lock.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        pictures = np.stack(list(pool.map(look, wanted.tolist(), chunksize=256))).reshape(len(wanted), -1)
    at = at.reshape(pairs.shape)
    kept = [pairs[:0]]
    for start in range(0, len(pairs), 4096):
        a, b = (_centred(pictures[side]) for side in at[start : start + 4096].T)
        kept.append(pairs[start : start + 4096][np.einsum("ij,ij->i", a, b) >= SIMILAR])
    return np.concatenate(kept)


def _centred(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rows without mean and of length 1, so that their products are correlations."""
    rows = pictures.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows


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
