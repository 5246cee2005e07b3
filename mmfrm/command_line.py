"""The commands: their options come from the same dataclasses that describe jobs and settings. No torch."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import textwrap
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmfrm.config import TrainConfig
from mmfrm.going_on import begin_or_go_on
from mmfrm.jobs import JOBS, Job, PredictJob
from mmfrm.presets import presets
from mmfrm.recipe import add_recipe_command
from mmfrm.run import FINISHED, WRONG_USAGE, run_folder
from mmfrm.schema import ConfigError, from_dict
from mmfrm.settings import replace, settings_of
from mmfrm.shipped import QUICK, STARTER
from mmfrm.steer_command import add_steer_command

EXIT_CODES = "Exit codes: 0 finished; 1 failed; 2 wrong usage; 3 stopped, and the same command goes on."

EXAMPLES = {
    "train": "python -m mmfrm train --data ferplus.zip --preset small --set optim.epochs=3 --out runs/first",
    "estimate": "python -m mmfrm estimate --preset paper --out estimate",
    "evaluate": "python -m mmfrm evaluate --model runs/first/model --data raf-db.zip --map fear=fear "
    "--map contempt= --out runs/first-on-raf",
    "predict": "python -m mmfrm predict photos.zip --model starter --faces find --out labels",
    "export": "python -m mmfrm export --model runs/first/model --data ferplus.zip --out exported",
    "landmarks": "python -m mmfrm landmarks --data ferplus.zip --points landmarks68.npz --out runs/landmarks",
    "bench": "python -m mmfrm bench --out bench",
    "import": "python -m mmfrm import ferplus.zip --map contempt= --out data/ferplus-7",
    "preview": "python -m mmfrm preview photos.zip --faces find --out looked-at",
    "draw": "python -m mmfrm draw --count 3000 --out data/drawn",
    "compare": "python -m mmfrm compare --before runs/first/model --after runs/second/model "
    "--data ferplus.zip --out compared",
    "revise": "python -m mmfrm revise data/ferplus --leave-out-leaks --out data/ferplus-2",
}
PATHS = ("data", "model", "source", "points", "add", "before", "after", "start_from")
POSITIONAL = ("source",)  # fields given without a flag


def run_command(arguments: Sequence[str]) -> int:
    """Parse and run one command; returns its exit code (2 for wrong usage, after saying what is wrong)."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    act: Callable[[argparse.Namespace], int] = given.act
    try:
        return act(given)
    except ConfigError as error:
        given.parser.print_usage(sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USAGE


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m mmfrm",
        description="Facial-expression recognition: train, measure and use MMFRM networks.",
        epilog="`python -m mmfrm COMMAND --help` explains a command. " + EXIT_CODES,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for kind, job_class in JOBS.items():
        _add_job_command(commands, kind, job_class)
    _add_run_command(commands)
    add_steer_command(commands)
    _add_events_option(add_recipe_command(commands))
    return parser


def _add_job_command(commands: Any, kind: str, job_class: type[Job]) -> None:
    summary = (job_class.__doc__ or "").strip()
    command = commands.add_parser(
        kind,
        help=summary.split(". ")[0].rstrip("."),
        description=textwrap.fill(f"{summary} Stopped by Ctrl-C or a kill, the same command goes on."),
        epilog=f"Example: {EXAMPLES[kind]}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hints = typing.get_type_hints(job_class)
    for field in dataclasses.fields(job_class):
        if field.metadata and field.name != "out":
            _add_option(command, field, hints[field.name])
    if "config" in hints:
        _add_settings_options(command)
    command.add_argument("--out", type=Path, help="Folder of this job: its artefacts, and where it goes on.")
    _add_events_option(command)
    command.set_defaults(act=_run_job, kind=kind, parser=command)


def _add_option(command: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    rules = field.metadata
    needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    text = f"{rules['title']}. {rules['help']}{_range(rules)}".replace("%", "%%")
    if not needed and field.default not in ("", dataclasses.MISSING):
        text += f" Default: {field.default}."
    if field.name in POSITIONAL:
        command.add_argument(field.name, help=text)
        return
    if field.name == "mapping":
        command.add_argument("--map", dest="mapping", action="append", metavar="FROM=TO", help=text)
        return
    if typing.get_origin(hint) is not None:
        return  # what is said sample by sample stands in job.json
    options: dict[str, Any] = {"dest": field.name, "help": text, "default": argparse.SUPPRESS}
    if hint is bool:
        options["action"] = argparse.BooleanOptionalAction
    else:
        options |= {"type": hint, "choices": rules["choices"] or None}
        options |= {} if rules["choices"] else {"metavar": field.name.upper()}
    command.add_argument("--" + field.name.replace("_", "-"), **options)


def _add_settings_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--preset",
        choices=tuple(presets()),
        help="Starting point of the settings; `paper` is the released recipe with its faults mended. "
        "Without one: the size `paper` for 30 epochs.",
    )
    command.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="GROUP.NAME=VALUE",
        help="Change one setting; may be repeated.",
    )
    command.add_argument(
        "--settings",
        action="store_true",
        help="List every setting with its meaning, value (of --preset) and range, and do nothing else.",
    )


def _add_run_command(commands: Any) -> None:
    command = commands.add_parser(
        "run",
        help="Do, or go on with, the job of a folder",
        description="Do the job described by FOLDER/job.json. With --events json, every event is a line on "
        'standard output, {"do": "stop"} on standard input stops the job resumably, and so does the end of '
        "standard input, which means that whoever started the job is gone.",
        epilog=EXIT_CODES,
    )
    command.add_argument("folder", type=Path, help="A job folder.")
    _add_events_option(command)
    command.set_defaults(act=_run_given_folder, parser=command)


def _add_events_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--events",
        choices=("bar", "json"),
        default="bar",
        help="bar: a progress bar for people; json: an event a line for machines. Default: bar.",
    )


def _run_given_folder(given: argparse.Namespace) -> int:
    if not (given.folder / "job.json").is_file():
        raise ConfigError(str(given.folder), "holds no job.json")
    return run_folder(given.folder, events=given.events)


def _run_job(given: argparse.Namespace) -> int:
    if getattr(given, "settings", False):
        print(settings_table(presets()[given.preset] if given.preset else TrainConfig()))
        return FINISHED
    if given.out is None:
        raise ConfigError("--out", "is needed: the folder of this job")
    begin_or_go_on(given.out, job_of(given))
    return run_folder(given.out, events=given.events)


def job_of(given: argparse.Namespace) -> Job:
    """The job that the given options describe. Raises ConfigError naming what is wrong or missing."""
    job_class = JOBS[given.kind]
    names = {f.name for f in dataclasses.fields(job_class)}
    values = {k: v for k, v in vars(given).items() if k in names and v is not None}
    if job_class is PredictJob and STARTER.is_dir():
        values.setdefault("model", str(STARTER))
    for name in PATHS:  # relative to here, not to where the job is resumed
        if values.get(name):
            values[name] = str(_place(values[name]))
    if "mapping" in values:
        values["mapping"] = dict(_pair(text, "--map") for text in values["mapping"])
    if "out" in names:
        values["out"] = str(given.out.absolute())
    if "config" in names:
        values["config"] = dataclasses.asdict(_train_config(given))
    return from_dict(job_class, values)


def _place(text: str) -> Path:
    """A path as it was given; "starter" and "quick" are models that ship, where no such folder lies here."""
    path = Path(text)
    shipped = {"starter": STARTER, "quick": QUICK}.get(text)
    return shipped if shipped is not None and shipped.is_dir() and not path.exists() else path.absolute()


def _train_config(given: argparse.Namespace) -> TrainConfig:
    config = presets()[given.preset] if given.preset else TrainConfig()
    changes = dict(_pair(text, "--set") for text in given.changes)
    types = {s.name: s.type for s in settings_of(config)}
    return replace(config, {name: _value(name, text, types.get(name, str)) for name, text in changes.items()})


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(option, f"{text!r} should be NAME=VALUE")
    return name.strip(), value.strip()


def _value(name: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    if kind is bool:
        known = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
        if text.lower() not in known:
            raise ConfigError(name, f"{text!r} should be true or false")
        return known[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(name, f"{text!r} should be a number") from None


def _range(rules: typing.Mapping[str, Any]) -> str:
    if rules["choices"]:
        return ""
    if rules["low"] is None and rules["high"] is None:
        return ""
    if rules["high"] is None:
        return f" At least {rules['low']}."
    return f" From {rules['low']} to {rules['high']}."


def settings_table(config: TrainConfig) -> str:
    """Every setting with its value, range and meaning, for people."""
    rows = []
    for s in settings_of(config):
        allowed = " | ".join(s.choices) or ("true | false" if s.type is bool else "")
        if not allowed and s.low is not None:
            allowed = f"{s.low} to {s.high}"
        rows.append(f"{s.name} = {s.value}" + (f"   [{allowed}]" if allowed else ""))
        rows.append(f"    {s.title}. {s.help}".rstrip())
    return "\n".join(rows)
