"""The order of an epoch: a pure function of seed and epoch; balanced and square-root sampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from mmfrm.config import DataConfig
from mmfrm.data.sampling import order


@dataclass
class Split:
    labels: NDArray[np.int64]


SPLIT = Split(np.repeat(np.arange(4), (900, 90, 9, 1)).astype(np.int64))


def test_shuffled_visits_each_image_once() -> None:
    drawn = order(SPLIT, DataConfig(), seed=1, epoch=0)
    assert sorted(drawn.tolist()) == list(range(1000))
    assert drawn.tolist() != list(range(1000))


@pytest.mark.parametrize("sampling", ["shuffled", "balanced", "sqrt", "mild"])
def test_the_order_is_a_function_of_seed_and_epoch(sampling: str) -> None:
    config = DataConfig(sampling=sampling)
    first = order(SPLIT, config, seed=1, epoch=3)
    assert np.array_equal(first, order(SPLIT, config, seed=1, epoch=3))
    assert not np.array_equal(first, order(SPLIT, config, seed=1, epoch=4))
    assert not np.array_equal(first, order(SPLIT, config, seed=2, epoch=3))
    assert len(first) == 1000


def test_balanced_shows_every_class_equally_often_and_rare_images_in_turn() -> None:
    drawn = order(SPLIT, DataConfig(sampling="balanced"), seed=0, epoch=0)
    assert np.bincount(SPLIT.labels[drawn]).tolist() == [250, 250, 250, 250]
    rare = np.bincount(drawn, minlength=1000)[990:999]
    assert rare.max() - rare.min() <= 1
    assert np.bincount(drawn)[:900].max() == 1


@pytest.mark.parametrize(("sampling", "power"), [("sqrt", 0.5), ("mild", 0.75)])
def test_between_them_classes_go_by_a_power_of_their_counts(sampling: str, power: float) -> None:
    drawn = order(SPLIT, DataConfig(sampling=sampling), seed=0, epoch=0)
    shares = np.array([900, 90, 9, 1]) ** power
    expected = 1000 * shares / shares.sum()
    assert np.abs(np.bincount(SPLIT.labels[drawn]) - expected).max() <= 1


def test_an_empty_class_or_split_is_no_trouble() -> None:
    gap = Split(np.array([0, 0, 3], np.int64))
    assert len(order(gap, DataConfig(sampling="balanced"), seed=0, epoch=0)) == 3
    assert len(order(Split(np.zeros(0, np.int64)), DataConfig(sampling="balanced"), seed=0, epoch=0)) == 0
