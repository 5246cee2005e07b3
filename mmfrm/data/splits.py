"""Which sample belongs to which split: as given, or carved, by seed, by class and by person. No torch.

Carving draws by a hash of the seed and of each image's content, not by position: the same images are
held out however the data set was ordered, exported or imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]  # (N,), −1 where a sample has none


def ranks(keys: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """A number for each key, by chance, that depends on the key and the seed alone."""
    drawn = (sha256(f"{seed} {key}".encode()).digest()[:8] for key in keys)
    return np.frombuffer(b"".join(drawn), ">u8").astype(np.uint64)


def stratified(labels: Labels, keys: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """Sorted positions of about `count` samples, each class by its share and, if there is room, present."""
    if count >= len(labels):
        return np.arange(len(labels))
    order = np.lexsort((ranks(keys, seed), labels))
    chosen = []
    for label in np.unique(labels):
        members = order[labels[order] == label]
        share = max(1, round(count * len(members) / len(labels)))
        chosen.append(members[:share])
    return np.sort(np.concatenate(chosen)) if chosen else np.arange(0)


def carve(
    labels: Labels, keys: Sequence[str], groups: Sequence[str | None], fraction: float, seed: int
) -> NDArray[np.int64]:
    """Sorted positions to hold out: about `fraction` of every class, no group (person) parted.

    keys: one a sample, its content hash. groups: None for a sample that stands alone.
    """
    if all(group is None for group in groups):
        return stratified(labels, keys, round(fraction * len(labels)), seed)
    names = [f"group {group}" if group is not None else key for group, key in zip(groups, keys, strict=True)]
    unique, owner = np.unique(np.array(names), return_inverse=True)
    columns = np.unique(labels, return_inverse=True)[1]
    held = np.zeros((len(unique), columns.max(initial=0) + 1), np.int64)  # images by group and class
    np.add.at(held, (owner, columns), 1)
    chosen = _fill(held, fraction, np.argsort(ranks(list(unique), seed), kind="stable"))
    return np.flatnonzero(chosen[owner])


def _fill(held: NDArray[np.int64], fraction: float, order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Take groups in the drawn order while each brings the class counts nearer to the wanted ones."""
    missing = held.sum(axis=0) * fraction
    chosen = np.zeros(len(held), bool)
    for group in order:
        if np.abs(missing - held[group]).sum() < np.abs(missing).sum():
            chosen[group] = True
            missing = missing - held[group]
    if not chosen.any() and len(order) > 1:
        chosen[order[held[order].sum(axis=1).argmin()]] = True
    return chosen


def assign(
    given: Sequence[str | None],
    labels: Labels,
    keys: Sequence[str],
    groups: Sequence[str | None],
    *,
    fraction: float,
    seed: int,
) -> tuple[list[str], list[str]]:
    """The split of every sample, and the names of the splits that had to be carved.

    Samples without a given split are training samples where other splits are given; where none is given at
    all, test is carved too. A data set with a test part alone is left as it is.
    """
    splits = np.array([split or "train" for split in given], dtype="U5")
    wanted = [] if "val" in given or "train" not in splits else ["val"]
    if not any(given):
        wanted = ["test", "val"]
    for step, name in enumerate(wanted):
        train = np.flatnonzero(splits == "train").tolist()
        share = fraction / (1 - fraction * step)  # each carved split gets the same share of the whole
        part = carve(labels[train], [keys[i] for i in train], [groups[i] for i in train], share, seed + step)
        splits[[train[i] for i in part]] = name
    return splits.tolist(), wanted
