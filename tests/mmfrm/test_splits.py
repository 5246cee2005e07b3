"""Splits: given ones are kept, missing ones carved by class and person, the same for the same images."""

from __future__ import annotations

import numpy as np
import pytest

from mmfrm.data.splits import assign, carve, stratified

RNG = np.random.default_rng(0)
LABELS = RNG.choice(7, 2000, p=(0.35, 0.3, 0.15, 0.1, 0.05, 0.03, 0.02)).astype(np.int64)
KEYS = [f"{i:064x}" for i in RNG.permutation(2000)]
ALONE: list[str | None] = [None] * 2000


def test_every_class_is_held_out_by_its_share() -> None:
    part = carve(LABELS, KEYS, ALONE, 0.1, 0)
    whole, held = np.bincount(LABELS), np.bincount(LABELS[part], minlength=7)
    assert np.abs(held - 0.1 * whole).max() <= 0.5 + 1e-9


def test_carving_depends_on_the_images_not_on_their_order() -> None:
    order = RNG.permutation(2000)
    first = {KEYS[i] for i in carve(LABELS, KEYS, ALONE, 0.1, 3)}
    again = carve(LABELS[order], [KEYS[i] for i in order], ALONE, 0.1, 3)
    assert first == {KEYS[order[i]] for i in again}


def test_another_seed_holds_out_others() -> None:
    a, b = (set(carve(LABELS, KEYS, ALONE, 0.1, seed).tolist()) for seed in (0, 1))
    assert len(a & b) < 0.3 * len(a)


def test_no_person_is_parted_and_classes_stay_balanced() -> None:
    people: list[str | None] = [f"p{i}" for i in RNG.integers(0, 120, 2000)]
    part = carve(LABELS, KEYS, people, 0.15, 0)
    held = {people[i] for i in part}
    rest = {people[i] for i in range(2000) if i not in set(part.tolist())}
    assert not held & rest
    assert len(part) == pytest.approx(300, abs=30)
    whole, counts = np.bincount(LABELS) * 0.15, np.bincount(LABELS[part], minlength=7)
    assert np.abs(counts - whole).max() <= 10


def test_a_single_large_person_can_still_be_held_out_of_two() -> None:
    labels = np.zeros(10, np.int64)
    part = carve(labels, KEYS[:10], ["a"] * 5 + ["b"] * 5, 0.1, 0)
    assert len(part) == 5


def test_samples_without_a_person_stand_alone() -> None:
    groups: list[str | None] = ["a"] * 1000 + [None] * 1000
    part = carve(LABELS, KEYS, groups, 0.1, 0)
    assert len(part) == pytest.approx(200, abs=5)
    assert part.min() >= 1000


def test_given_splits_are_kept() -> None:
    given = ["train", "val", "test", "train"]
    splits, carved = assign(given, LABELS[:4], KEYS[:4], ALONE[:4], fraction=0.2, seed=0)
    assert (splits, carved) == (given, [])


def test_only_val_is_carved_where_train_and_test_are_given() -> None:
    given = ["train"] * 1500 + ["test"] * 500
    splits, carved = assign(given, LABELS, KEYS, ALONE, fraction=0.1, seed=0)
    assert carved == ["val"]
    assert splits[1500:] == ["test"] * 500
    assert splits.count("val") == pytest.approx(150, abs=4)


def test_where_no_split_is_given_test_is_carved_too() -> None:
    splits, carved = assign([None] * 2000, LABELS, KEYS, ALONE, fraction=0.1, seed=0)
    assert carved == ["test", "val"]
    assert [splits.count(name) for name in ("val", "test")] == pytest.approx([200, 200], abs=4)


def test_a_test_part_alone_is_left_as_it_is() -> None:
    assert assign(["test"] * 50, LABELS[:50], KEYS[:50], ALONE[:50], fraction=0.1, seed=0) == (
        ["test"] * 50,
        [],
    )


def test_unsplit_samples_beside_given_ones_are_for_training() -> None:
    splits, _ = assign(["val", None, "test"], LABELS[:3], KEYS[:3], ALONE[:3], fraction=0.1, seed=0)
    assert splits == ["val", "train", "test"]


def test_a_stratified_part_keeps_every_class() -> None:
    part = stratified(LABELS, KEYS, 60, 0)
    assert set(LABELS[part]) == set(range(7))
    assert len(part) == pytest.approx(60, abs=4)
    assert stratified(LABELS, KEYS, 5000, 0).tolist() == list(range(2000))
    assert stratified(LABELS[:0], [], 0, 0).tolist() == []
