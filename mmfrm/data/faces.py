"""Faces ready to learn from: labels by a rule, splits, leaks left out, cached pixels, torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmfrm.config import DataConfig
from mmfrm.data.cache import Images, open_cache
from mmfrm.data.duplicates import Duplicates, duplicates_of, find_leaks
from mmfrm.data.native import SPLITS, FacePack, Sample
from mmfrm.data.source import default_cache_folder, native_folder
from mmfrm.data.splits import assign, stratified
from mmfrm.events import Event
from mmfrm.labels import DROPPED, Labelled, class_columns, label_votes
from mmfrm.progress import Meter

LISTED = 50  # names in a report; the rest is counted


@dataclass(frozen=True)
class FaceSplit:
    """One split: which of the data set's images, and what each should be answered with."""

    images: Images  # (N, C, 112, 112) uint8 of the whole data set, memory-mapped; C is 1 or 3
    indices: NDArray[np.int64]  # (n,) into images
    targets: Tensor  # (n,) int64, or (n, K) float32 under the soft rule in train
    labels: NDArray[np.int64]  # (n,) class indices; the likeliest one under the soft rule
    names: list[str] = field(repr=False)

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, positions: NDArray[np.int64] | Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images uint8 (B, 3, 112, 112) and their targets. Grey images are expanded, not copied thrice."""
        chosen = np.asarray(positions, np.int64)
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[self.indices[chosen]]))
        return pixels.expand(-1, 3, -1, -1), self.targets[torch.from_numpy(chosen)]


@dataclass(frozen=True)
class Faces:
    """A data set as a run sees it. `report` says what was left out, and why."""

    classes: tuple[str, ...]
    splits: dict[str, FaceSplit]
    fingerprint: str
    report: dict[str, Any]


def open_faces(
    source: str | Path,
    config: DataConfig,
    cache_folder: Path | None = None,
    progress: Callable[[Event], None] | None = None,
) -> Faces:
    """Open a native data set, or anything `mmfrm import` reads (it is imported into the cache folder first).

    progress: told of long work (importing, decoding) at most twice a second.
    Raises FacePackError for a damaged data set, JobError where nothing can be learned from it.
    """
    cache = cache_folder or default_cache_folder(Path(source))
    pack = FacePack(native_folder(Path(source), cache, progress))
    samples, classes = pack.samples, tuple(pack.description.classes)
    labelled, hard = _labels(pack, config.label_rule)
    splits, carved = assign(
        [sample.split for sample in samples],
        hard.labels,
        [sample.sha256 for sample in samples],
        [sample.group for sample in samples],
        fraction=config.val_fraction,
        seed=config.split_seed,
    )
    report = {"source": pack.description.report, "carved": carved}
    positions, more = _choose(pack, labelled, hard, splits, config)
    images = open_cache(pack, cache, tell=_teller(progress))
    return Faces(
        classes=classes,
        splits={
            name: _face_split(images, samples, chosen, labelled if name == "train" else hard)
            for name, chosen in positions.items()
        },
        fingerprint=pack.description.fingerprint,
        report=report | more,
    )


def _labels(pack: FacePack, rule: str) -> tuple[Labelled, Labelled]:
    """Labels by the rule for train, and hard ones for val and test.

    Under the soft rule, val and test keep the majority rule, as in the FERPlus paper's code, so that
    figures stay comparable between rules.
    """
    columns = pack.description.vote_columns
    given = np.array([DROPPED if s.label is None else s.label for s in pack.samples], np.int64)
    if columns is None or all(sample.votes is None for sample in pack.samples):
        return Labelled(given, None), Labelled(given, None)
    votes = np.array([s.votes or [0] * len(columns) for s in pack.samples], np.int64)
    chosen = label_votes(votes, class_columns(columns), rule)
    without = np.array([sample.votes is None for sample in pack.samples])
    labels = np.where(without, given, chosen.labels)
    hard = label_votes(votes, class_columns(columns), "majority") if rule == "soft" else chosen
    hard_labels = np.where(without, given, hard.labels)
    distributions = chosen.distributions
    if distributions is not None and without.any():
        certain = np.eye(distributions.shape[1], dtype=np.float32)[np.maximum(labels, 0)]
        distributions = np.where(without[:, None], certain, distributions)
    return Labelled(labels, distributions), Labelled(hard_labels, None)


def _choose(
    pack: FacePack, labelled: Labelled, hard: Labelled, splits: list[str], config: DataConfig
) -> tuple[dict[str, NDArray[np.int64]], dict[str, Any]]:
    """Positions of each split's samples, and a report of what is not among them."""
    samples, split_of = pack.samples, np.array(splits)
    has_label = np.where(split_of == "train", labelled.labels, hard.labels) != DROPPED
    leaves, report = _leaks(pack, splits, has_label, config.leave_out_leaks)
    report["dropped_by_rule"] = {
        name: int(((split_of == name) & ~has_label).sum()) for name in SPLITS if (split_of == name).any()
    }
    kept = has_label & ~leaves
    positions = {}
    for name in SPLITS:
        chosen = np.flatnonzero((split_of == name) & kept)
        if len(chosen):
            labels = (labelled if name == "train" else hard).labels[chosen]
            keys = [samples[i].sha256 for i in chosen]
            positions[name] = chosen[stratified(labels, keys, _most(name, len(chosen), config), 0)]
    report["images"] = {name: len(chosen) for name, chosen in positions.items()}
    return positions, report


def _most(name: str, count: int, config: DataConfig) -> int:
    """How many samples of a split the settings allow."""
    if name != "train":
        return min(count, config.max_eval or count)
    return min(max(1, round(count * config.train_share)), config.max_train or count)


def _leaks(
    pack: FacePack, splits: list[str], has_label: NDArray[np.bool_], leave_out: bool
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Which training samples leak, and a report. Held-out samples that no rule labels are never tested on."""
    tested = [split if has_label[i] else None for i, split in enumerate(splits)]
    duplicates = duplicates_of(pack.folder, pack.samples)
    if pack.description.drawn:  # drawn people look alike, and are never in two splits
        duplicates = Duplicates(duplicates.exact, [])
    found = find_leaks(duplicates, tested)
    leaves = np.zeros(len(splits), bool)
    if leave_out:
        leaves[found.exact + found.near] = True
    return leaves, {
        "leaks": {
            "left_out": leave_out,
            "exact": len(found.exact),
            "near": len(found.near),
            "names": [pack.samples[i].name for i in (found.exact + found.near)[:LISTED]],
        }
    }


def _face_split(
    images: Images, samples: list[Sample], chosen: NDArray[np.int64], labelled: Labelled
) -> FaceSplit:
    labels = labelled.labels[chosen]
    soft = labelled.distributions
    targets = torch.from_numpy(labels if soft is None else soft[chosen])
    return FaceSplit(images, chosen, targets, labels, [samples[i].name for i in chosen])


def _teller(progress: Callable[[Event], None] | None) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    meter: list[Meter] = []

    def tell(done: int, total: int) -> None:
        if not meter:
            meter.append(Meter(total, phase="decoding"))
        meter[0].add(done - meter[0].done)
        if meter[0].is_due():
            progress(meter[0].say())

    return tell
