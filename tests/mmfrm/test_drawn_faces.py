"""Drawn faces: the same by seed, split by person, every class everywhere, different expressions different."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mmfrm.classes import DRAWN
from mmfrm.control import Control
from mmfrm.data.drawn import draw, plan_pictures
from mmfrm.data.native import FacePack
from mmfrm.data.people import draw_person
from mmfrm.data.portrait import portrait
from mmfrm.events import Finished, Progress, Started, Stopped
from mmfrm.images import decode
from mmfrm.jobs import DrawJob


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> FacePack:
    folder = tmp_path_factory.mktemp("drawn")
    events = list(draw(folder, DrawJob(out=str(folder / "data"), count=120, seed=7), Control()))
    assert isinstance(events[0], Started)
    assert isinstance(events[-2], Progress)
    assert isinstance(events[-1], Finished)
    return FacePack(folder / "data")


def test_they_are_marked_as_drawn(pack: FacePack) -> None:
    assert pack.description.drawn
    assert pack.description.layout == "drawn"
    assert pack.description.classes == list(DRAWN)


def test_pictures_are_faces_of_the_networks_size(pack: FacePack) -> None:
    assert len(pack.samples) == 120
    for sample in pack.samples[:20]:
        pixels = decode(pack.bytes_of(sample))
        assert pixels.shape == (112, 112, 3)
        assert pixels.std() > 12


def test_no_person_is_in_two_splits(pack: FacePack) -> None:
    split_of: dict[str | None, str | None] = {}
    for sample in pack.samples:
        assert split_of.setdefault(sample.group, sample.split) == sample.split
    assert set(split_of.values()) == {"train", "val", "test"}


def test_every_split_has_every_class(pack: FacePack) -> None:
    for counts in pack.description.counts.values():
        assert set(counts) == set(DRAWN)


def test_the_same_seed_draws_the_same_and_another_draws_others(pack: FacePack, tmp_path: Path) -> None:
    for name, seed, same in (("again", 7, True), ("other", 8, False)):
        list(draw(tmp_path, DrawJob(out=str(tmp_path / name), count=120, seed=seed), Control()))
        fingerprint = FacePack(tmp_path / name).description.fingerprint
        assert (fingerprint == pack.description.fingerprint) == same


def test_stopped_it_goes_on_to_the_same_end(pack: FacePack, tmp_path: Path) -> None:
    control = Control()
    control.request_stop("enough")
    job = DrawJob(out=str(tmp_path / "data"), count=120, seed=7)
    assert isinstance(list(draw(tmp_path, job, control))[-1], Stopped)
    events = list(draw(tmp_path, job, Control()))
    assert isinstance(events[0], Started)
    assert events[0].resumed
    assert FacePack(tmp_path / "data").description.fingerprint == pack.description.fingerprint


def test_drawn_already_it_says_so_at_once(pack: FacePack) -> None:
    before = (pack.folder / "faces-0.pack").stat().st_mtime_ns
    events = list(draw(pack.folder.parent, DrawJob(out=str(pack.folder), count=120, seed=7), Control()))
    assert [type(event) for event in events] == [Finished]
    assert (pack.folder / "faces-0.pack").stat().st_mtime_ns == before


def test_processes_draw_what_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = []
    for name, limit in (("alone", 10**9), ("together", 1)):
        monkeypatch.setattr("mmfrm.data.drawn.WORTH_A_POOL", limit)
        list(draw(tmp_path, DrawJob(out=str(tmp_path / name), count=202, seed=1), Control()))
        prints.append((tmp_path / name / "faces-0.pack").read_bytes())
    assert prints[0] == prints[1]


def test_the_smallest_set_has_three_splits() -> None:
    splits = {split for _, _, _, split in plan_pictures(30, 0)}
    assert splits == {"train", "val", "test"}


def test_one_person_looks_more_like_itself_than_expressions_look_alike() -> None:
    """On average over moments, expressions differ around eyes and mouth."""
    person = draw_person(np.random.default_rng(3))
    means = []
    for label, name in enumerate(DRAWN):
        shots = [portrait(name, person, np.random.default_rng([label, k])) for k in range(25)]
        means.append(np.mean(shots, axis=0).mean(axis=2))
    for a, b in pairwise(means):
        assert np.abs(a - b).max() > 8


def test_an_unknown_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="contempt"):
        portrait("contempt", draw_person(np.random.default_rng(0)), np.random.default_rng(0))
