"""A recipe: several trainings, each from the weights of the one before, and the model of the last. No torch.

A TOML file says them:

    data_name = "FERPlus"           # what the card of the model calls the data
    preset = "small"

    [shared]                        # settings of all trainings
    data.label_rule = "soft"

    [[training]]
    optim.epochs = 10
    stop_after = 4                  # epochs; without it, its schedule is followed to its end

    [[training]]                    # starts from the averaged weights where the one before ended
    optim.learning_rate = 0.0008
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfrm.config import TrainConfig
from mmfrm.events import Finished, Stopped, read_events
from mmfrm.failures import JobError
from mmfrm.going_on import begin_or_go_on
from mmfrm.jobs import TrainJob
from mmfrm.presets import presets
from mmfrm.run import FAILED, FINISHED, STOPPED, run_folder
from mmfrm.schema import ConfigError
from mmfrm.settings import replace
from mmfrm.steering import STOP_AFTER, Order

CHECKPOINT, MODEL = "last.ckpt", "model"  # of a training's folder; and MODEL of the whole


@dataclass(frozen=True)
class Training:
    """One training of a recipe."""

    config: TrainConfig
    stop_after: int | None  # epochs


@dataclass(frozen=True)
class Recipe:
    """What a recipe's file says."""

    data_name: str
    preset: str
    trainings: tuple[Training, ...]


def read_recipe(path: Path) -> Recipe:
    """A recipe's file. Raises ConfigError naming what is wrong or missing in it."""
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(path), f"is no recipe: {error}") from error
    if strange := set(content) - {"data_name", "preset", "shared", "training"}:
        raise ConfigError(f"{path}: {min(strange)}", "is not known in a recipe")
    preset = content.get("preset", "")
    if preset not in presets():
        raise ConfigError(f"{path}: preset", f"must be one of {', '.join(presets())}")
    shared, given = content.get("shared", {}), content.get("training")
    if not isinstance(given, list) or not given or not all(isinstance(table, dict) for table in given):
        raise ConfigError(f"{path}: training", "a recipe needs one or more [[training]]")
    if not isinstance(shared, dict):
        raise ConfigError(f"{path}: shared", "is a table of settings: [shared]")
    base = replace(presets()[preset], _settings(shared))
    name = str(content.get("data_name", ""))
    return Recipe(name, preset, tuple(_training(base, table) for table in given))


def _training(base: TrainConfig, table: dict[str, Any]) -> Training:
    stop_after = table.pop("stop_after", None)
    config = replace(base, _settings(table))
    if stop_after is not None and (not isinstance(stop_after, int) or stop_after < 1):
        raise ConfigError("stop_after", "is a number of epochs, 1 or more")
    return Training(config, stop_after)


def _settings(groups: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names of what TOML nests."""
    for group, part in groups.items():
        if not isinstance(part, dict):
            raise ConfigError(group, "no such setting")
    return {f"{group}.{name}": value for group, part in groups.items() for name, value in part.items()}


def jobs_of(recipe: Recipe, data: Path, out: Path) -> Iterator[tuple[Path, TrainJob]]:
    """The trainings and their folders, in order. Only the last opens the test split."""
    before: Path | None = None
    for number, training in enumerate(recipe.trainings, start=1):
        orders = []
        if training.stop_after is not None:
            orders = [Order(number=1, do=STOP_AFTER, value=training.stop_after - 1)]
        folder = out / str(number)
        yield (
            folder,
            TrainJob(
                data=str(data),
                config=training.config,
                start_from="" if before is None else str(before / CHECKPOINT),
                steering=[dataclasses.asdict(order) for order in orders],
                open_test=number == len(recipe.trainings),
            ),
        )
        before = folder


def add_recipe_command(commands: Any) -> argparse.ArgumentParser:
    """Add it to the parser's commands; returns its own parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "recipe",
        help="Several trainings, each from the weights of the one before",
        description="Do the trainings that FILE says, one after another, each in a folder of its own in OUT, "
        "and write the model of the last, halved and with its card, to OUT/model. Only the last opens the "
        "test split. Stopped by Ctrl-C or a kill, the same command goes on.",
        epilog="Example, the model that ships: python -m mmfrm recipe mmfrm/weights/starter.toml "
        "--data ferplus.zip --out runs/starter",
    )
    command.add_argument("file", type=Path, help="A TOML file; mmfrm/recipe.py says what is in it.")
    command.add_argument("--data", type=Path, required=True, help="Anything that `mmfrm import` reads.")
    command.add_argument("--out", type=Path, required=True, help="Folder of the trainings and the model.")
    command.set_defaults(act=_follow_given_file, parser=command)
    return command


def _follow_given_file(given: argparse.Namespace) -> int:
    try:
        return follow(read_recipe(given.file), given.data, given.out, events=given.events)
    except JobError as error:
        print(error, file=sys.stderr)
        return FAILED


def follow(recipe: Recipe, data: Path, out: Path, *, events: str) -> int:
    """Do, or go on with, the trainings of a recipe; returns the exit code. The model is in out/model then.

    What is done already is not done again. Raises ConfigError where `out` holds other trainings, JobError
    where the model cannot be written.
    """
    folder = out
    for folder, job in jobs_of(recipe, data.absolute(), out.absolute()):
        begin_or_go_on(folder, job)
        if not _is_done(folder, job):
            print(f"Training {folder.name} of {len(recipe.trainings)}: {folder}", file=sys.stderr)
            code = run_folder(folder, events=events)
            if code != FINISHED and not (code == STOPPED and _is_done(folder, job)):
                return code
    from mmfrm.shipping import ship  # torch

    number = len(recipe.trainings)
    began_with = f"the averaged weights of training {number - 1} of this recipe" if number > 1 else ""
    ship(folder, out / MODEL, data_name=recipe.data_name, preset=recipe.preset, began_with=began_with)
    return FINISHED


def _is_done(folder: Path, job: TrainJob) -> bool:
    """Whether a training ended by itself, or after the epoch at which the recipe stops it."""
    try:
        last = read_events(folder / "events.jsonl")[-1]
    except (OSError, IndexError):  # not begun, or killed in the middle of its first line
        return False
    is_stopped = bool(job.steering) and isinstance(last, Stopped) and last.on_order
    return isinstance(last, Finished) or is_stopped
