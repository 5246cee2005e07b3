"""A training begins with another's weights: each class with its own, whatever the order of their classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmfrm.checkpoint import save_model
from mmfrm.classes import DRAWN, FER2013, FERPLUS, RAF_DB
from mmfrm.nn import FaceNetwork, build_network
from mmfrm.resume import LAST, read_state, write_state
from mmfrm.starting_point import load_start
from tests.mmfrm.training import drawn_faces, smallest, trained

__all__ = ["drawn_faces"]  # a fixture

CONFIG = smallest().network
HEAD = ("expression.fc.weight", "expression.fc.bias")


def network(classes: Sequence[str], seed: int) -> FaceNetwork:
    torch.manual_seed(seed)
    return build_network(CONFIG, len(classes))


def a_model(folder: Path, classes: Sequence[str]) -> tuple[Path, FaceNetwork]:
    made = network(classes, 1)
    save_model(folder, made, classes=classes, config=CONFIG, card={})
    return folder, made


def row(made: FaceNetwork, classes: Sequence[str], name: str) -> list[float]:
    """The weights and the bias that answer a class."""
    state = made.state_dict()
    k = list(classes).index(name)
    return [*state[HEAD[0]][k].tolist(), state[HEAD[1]][k].item()]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, drawn_faces: Path) -> Path:
    """Of a run of one epoch on faces of the classes DRAWN."""
    folder = tmp_path_factory.mktemp("run")
    trained(folder, drawn_faces, smallest(optim__epochs=1))
    return folder / LAST


def averaged(checkpoint: Path) -> FaceNetwork:
    made = network(DRAWN, 5)
    made.load_state_dict(read_state(checkpoint)["learner"]["averaged"])
    return made


def test_classes_in_another_order_begin_with_their_own_weights(tmp_path: Path) -> None:
    assert set(FER2013) == set(RAF_DB)
    assert FER2013 != RAF_DB
    start, theirs = a_model(tmp_path, FER2013)
    mine = network(RAF_DB, 2)
    told = load_start(mine, start, RAF_DB)
    for name in RAF_DB:
        assert row(mine, RAF_DB, name) == row(theirs, FER2013, name), name
    assert told.endswith("entries taken. 7 of 7 classes taken by their names.")


def test_a_class_that_the_other_lacks_keeps_its_random_start(tmp_path: Path) -> None:
    start, theirs = a_model(tmp_path, RAF_DB)
    mine, untouched = network(FERPLUS, 2), network(FERPLUS, 2)
    told = load_start(mine, start, FERPLUS)
    assert told.endswith("7 of 8 classes taken by their names; contempt begins anew.")
    for name in RAF_DB:
        assert row(mine, FERPLUS, name) == row(theirs, RAF_DB, name), name
    assert row(mine, FERPLUS, "contempt") == row(untouched, FERPLUS, "contempt")


def test_of_more_classes_those_that_are_wanted_are_taken(tmp_path: Path) -> None:
    start, theirs = a_model(tmp_path, FERPLUS)
    mine = network(RAF_DB, 2)
    assert load_start(mine, start, RAF_DB).endswith("7 of 7 classes taken by their names.")
    assert all(row(mine, RAF_DB, name) == row(theirs, FERPLUS, name) for name in RAF_DB)


def test_other_spellings_are_the_same_class_and_the_same_spelling_comes_first(tmp_path: Path) -> None:
    start, theirs = a_model(tmp_path, ("joy", "happy", "boredom"))
    names = ("happy", "happiness", "tired")
    mine, untouched = network(names, 2), network(names, 2)
    told = load_start(mine, start, names)
    assert row(mine, names, "happy") == row(theirs, ("joy", "happy", "boredom"), "happy")
    assert row(mine, names, "happiness") in (
        row(theirs, ("joy", "happy", "boredom"), "joy"),
        row(theirs, ("joy", "happy", "boredom"), "happy"),
    )
    assert row(mine, names, "tired") == row(untouched, names, "tired")
    assert told.endswith("2 of 3 classes taken by their names; tired begins anew.")


def test_none_of_the_same_classes_leaves_the_whole_last_layer(tmp_path: Path) -> None:
    start, _ = a_model(tmp_path, ("left", "right"))
    mine, untouched = network(("up", "down"), 2), network(("up", "down"), 2)
    told = load_start(mine, start, ("up", "down"))
    assert "; expression.fc.bias, expression.fc.weight start anew." in told
    assert told.endswith("0 of 2 classes taken by their names; up, down begin anew.")
    same = {name: torch.equal(mine.state_dict()[name], untouched.state_dict()[name]) for name in HEAD}
    assert all(same.values())
    assert not torch.equal(mine.expression.conv1.weight, untouched.expression.conv1.weight)


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_the_same_classes_in_the_same_order_are_taken_bit_for_bit(
    tmp_path: Path, checkpoint: Path, kind: str
) -> None:
    start, theirs = a_model(tmp_path, DRAWN) if kind == "model" else (checkpoint, averaged(checkpoint))
    mine = network(DRAWN, 2)
    told = load_start(mine, start, DRAWN)
    expected: dict[str, Tensor] = theirs.state_dict()
    assert f"{len(expected)} of {len(expected)} entries taken." in told
    assert all(torch.equal(values, expected[name]) for name, values in mine.state_dict().items())


def test_a_checkpoint_knows_its_classes_before_its_first_epoch_has_ended(
    tmp_path: Path, drawn_faces: Path
) -> None:
    config = smallest(runtime__checkpoint_seconds=0.001)
    trained(tmp_path, drawn_faces, config, until=lambda event: event.kind == "checkpoint")
    state = read_state(tmp_path / LAST)
    assert state["standing"]["last_epoch_end"] is None
    mine = network(RAF_DB, 2)
    load_start(mine, tmp_path / LAST, RAF_DB)
    theirs = averaged(tmp_path / LAST)
    assert all(row(mine, RAF_DB, name) == row(theirs, DRAWN, name) for name in RAF_DB)


def test_a_checkpoint_of_an_older_program_has_its_classes_in_its_last_epoch(
    tmp_path: Path, checkpoint: Path
) -> None:
    state = read_state(checkpoint)
    del state["classes"]
    write_state(tmp_path / "old.ckpt", state)
    mine = network(RAF_DB, 2)
    told = load_start(mine, tmp_path / "old.ckpt", RAF_DB)
    assert told.endswith("7 of 7 classes taken by their names.")
    theirs = averaged(checkpoint)
    assert all(row(mine, RAF_DB, name) == row(theirs, DRAWN, name) for name in RAF_DB)


def test_where_nobody_knows_the_classes_all_begin_anew(tmp_path: Path, checkpoint: Path) -> None:
    state = read_state(checkpoint)
    del state["classes"]
    state["standing"]["last_epoch_end"] = None
    write_state(tmp_path / "old.ckpt", state)
    mine, untouched = network(RAF_DB, 2), network(RAF_DB, 2)
    told = load_start(mine, tmp_path / "old.ckpt", RAF_DB)
    assert told.endswith("It does not say which classes it has, so that all of them begin anew.")
    assert all(row(mine, RAF_DB, name) == row(untouched, RAF_DB, name) for name in RAF_DB)
    assert torch.equal(mine.expression.conv1.weight, averaged(checkpoint).expression.conv1.weight)
