"""A recipe: trainings in a row, each from the weights of the one before, whatever interrupts them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from mmfrm.command_line import run_command
from mmfrm.jobs import TrainJob
from mmfrm.recipe import CHECKPOINT, Recipe, follow, jobs_of, read_recipe
from mmfrm.run import FAILED, FINISHED, WRONG_USAGE
from mmfrm.schema import ConfigError
from mmfrm.shipped import QUICK
from tests.mmfrm.training import drawn_faces, same_tensors

__all__ = ["drawn_faces"]  # a fixture

TEXT = """
data_name = "Drawn"
preset = "quick-look"

[shared]
network.fusion = "none"
network.width = 0.125
optim.batch_size = 8
optim.warmup_steps = 4
optim.ema = 0.9
runtime.deterministic = true
runtime.threads = 1
runtime.checkpoint_seconds = 0.1
data.max_train = 56
data.max_eval = 24

[[training]]
optim.epochs = 3
stop_after = 2

[[training]]
data.sampling = "sqrt"
optim.epochs = 3
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """A recipe of two trainings, the first ended early."""
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, drawn_faces: Path) -> Path:
    """The folder of a recipe that nothing interrupted."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "recipe.toml").write_text(TEXT)
    assert follow(read_recipe(folder / "recipe.toml"), drawn_faces, folder / "out", events="bar") == FINISHED
    return folder / "out"


def events_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_each_training_starts_where_the_one_before_ended(followed: Path) -> None:
    first, second = events_of(followed / "1"), events_of(followed / "2")
    assert [e["epoch"] for e in first if e["kind"] == "epoch"] == [0, 1]
    assert [e["epoch"] for e in second if e["kind"] == "epoch"] == [0, 1, 2]
    start = next(str(e["text"]) for e in second if e["kind"] == "notice")
    assert str(followed / "1" / CHECKPOINT) in start


def test_only_the_last_opens_the_test_split_and_its_model_is_the_recipes(followed: Path) -> None:
    kinds = [{e["kind"] for e in events_of(followed / number)} for number in "12"]
    assert ["evaluated" in seen for seen in kinds] == [False, True]
    card = json.loads((followed / "model" / "model.json").read_text())["card"]
    assert card["data"]["name"] == "Drawn"
    assert card["start_from"] == "the averaged weights of training 1 of this recipe"
    assert set(card["figures"]) == {"val", "test"}
    assert str(followed) not in json.dumps(card)


def test_killed_it_goes_on_to_the_same_weights(followed: Path, drawn_faces: Path, recipe_file: Path) -> None:
    out = recipe_file.parent / "out"
    command = ["recipe", str(recipe_file), "--data", str(drawn_faces), "--out", str(out)]
    for number in "12":  # once in each training
        process = subprocess.Popen([sys.executable, "-m", "mmfrm", *command], stderr=subprocess.DEVNULL)
        while process.poll() is None and not (out / number / CHECKPOINT).is_file():
            time.sleep(0.01)
        process.kill()
        process.wait()
    begun = (out / "1" / "events.jsonl").stat().st_size
    assert run_command(command) == FINISHED
    assert (out / "1" / "events.jsonl").stat().st_size == begun, "what was done is not done again"
    mine, theirs = (load_file(o / "model" / "model.safetensors") for o in (out, followed))
    assert same_tensors(mine, theirs)


def test_the_same_command_again_only_writes_the_model(followed: Path, drawn_faces: Path) -> None:
    before = (followed / "2" / "events.jsonl").read_bytes()
    recipe = read_recipe_of(TEXT, followed.parent)
    assert follow(recipe, drawn_faces, followed, events="bar") == FINISHED
    assert (followed / "2" / "events.jsonl").read_bytes() == before
    other = read_recipe_of(TEXT.replace('"sqrt"', '"mild"'), followed.parent)
    with pytest.raises(ConfigError, match=r"data\.sampling"):
        follow(other, drawn_faces, followed, events="bar")


def test_lines_that_kills_tore_do_not_keep_it_from_its_end(followed: Path, drawn_faces: Path) -> None:
    paths = [followed / number / "events.jsonl" for number in "12"]
    whole = [path.read_bytes() for path in paths]
    try:
        for path, content in zip(paths, whole, strict=True):
            first, *rest = content.splitlines(keepends=True)
            path.write_bytes(first + b'{"kind":"notice","te\n' + b"".join(rest))
        assert follow(read_recipe_of(TEXT, followed.parent), drawn_faces, followed, events="bar") == FINISHED
    finally:
        for path, content in zip(paths, whole, strict=True):
            path.write_bytes(content)


def read_recipe_of(text: str, folder: Path) -> Recipe:
    """A recipe of this text."""
    (folder / "other.toml").write_text(text)
    return read_recipe(folder / "other.toml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('preset = "quick-look"', 'preset = "quick"', "preset"),
        ("stop_after = 2", "stop_after = 0", "stop_after"),
        ("optim.epochs = 3\nstop", "optim.epoch = 3\nstop", "optim.epoch"),
        ("optim.epochs = 3\nstop", "epochs = 3\nstop", "epochs"),
        ("[[training]]", "[[trainings]]", "trainings"),
        ("[shared]", "[shared", "is no recipe"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, old: str, new: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(TEXT.replace(old, new))
    command = ["recipe", str(path), "--data", "faces.zip", "--out", str(tmp_path / "out")]
    assert run_command(command) == WRONG_USAGE
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "says"), [("training = [1]", "training"), ('shared = "soft"\n[[training]]', "shared")]
)
def test_what_is_no_table_is_named(
    tmp_path: Path, more: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(f'preset = "small"\n{more}\n')
    assert run_command(["recipe", str(path), "--data", "faces.zip", "--out", str(tmp_path / "out")]) == 2
    assert f"{path}: {says}" in capsys.readouterr().err


def test_data_that_are_not_there_are_named_and_nothing_ships(
    recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = recipe_file.parent / "out"
    command = ["recipe", str(recipe_file), "--data", "not-there.zip", "--out", str(out)]
    assert run_command(command) == FAILED
    assert "not-there.zip" in capsys.readouterr().err
    assert not (out / "model").exists()


def test_the_starters_recipe_is_one(tmp_path: Path) -> None:
    recipe = read_recipe(Path(__file__).parents[2] / "mmfrm" / "weights" / "starter.toml")
    jobs: list[TrainJob] = [job for _, job in jobs_of(recipe, tmp_path / "ferplus.zip", tmp_path)]
    assert recipe.data_name == "FERPlus"
    assert not jobs[0].start_from
    assert all(job.start_from for job in jobs[1:])
    assert {job.config.network.size for job in jobs} == {"small"}


def test_the_recipe_of_an_hour_ends_with_the_fusion(tmp_path: Path) -> None:
    recipe = read_recipe(Path(__file__).parents[1] / "benchmarks" / "hour.toml")
    jobs: list[TrainJob] = [job for _, job in jobs_of(recipe, tmp_path / "ferplus.zip", tmp_path)]
    assert [job.config.network.fusion for job in jobs] == ["none", "tcffm"]
    assert [bool(job.start_from) for job in jobs] == [False, True]
    assert {job.config.data.label_rule for job in jobs} == {"majority"}


def test_the_quick_models_recipe_makes_the_network_that_ships(tmp_path: Path) -> None:
    recipe = read_recipe(QUICK.parent / "quick.toml")
    ((_, job),) = jobs_of(recipe, tmp_path / "ferplus.zip", tmp_path)
    made = dataclasses.asdict(job.config.network)
    shipped = json.loads((QUICK / "model.json").read_text())["network"]
    assert {name: made[name] for name in shipped} == shipped
