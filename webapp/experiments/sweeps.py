"""Many trainings out of one form: every combination of the values that were asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from mmfrm.config import TrainConfig
from mmfrm.schema import ConfigError
from mmfrm.settings import Setting, replace, settings_of
from webapp.experiments.setting_fields import NOT_OFFERED, shown

MOST_RUNS = 100  # one slip in a field would otherwise fill the queue for weeks
SEED = "runtime.seed"


@dataclass(frozen=True)
class Axis:
    """A setting and the values that it takes in turn."""

    name: str
    title: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Planned:
    """One run of a sweep before it is started."""

    label: str
    config: TrainConfig


def offered(config: TrainConfig) -> list[Setting]:
    """The settings over which a sweep may go."""
    return [s for s in settings_of(config) if s.name not in NOT_OFFERED]


def axis_of(config: TrainConfig, name: str, texts: Sequence[str]) -> Axis:
    """An axis from what was typed, equal values once. Raises ConfigError in words for people."""
    found = {s.name: s for s in offered(config)}
    if name not in found:
        raise ConfigError(name, "no such setting")
    setting = found[name]
    values: dict[Any, None] = {}
    for text in texts:
        value = _value(setting, text)
        replace(config, {name: value})  # its range is checked where it is defined
        values[value] = None
    if not values:
        raise ConfigError(name, "name at least one value")
    return Axis(name, setting.title, tuple(values))


def split_values(text: str) -> list[str]:
    """ "0-4" or "1e-3, 3e-4" or "tcffm none" as single words; a range counts whole numbers, both ends in."""
    words: list[str] = []
    for word in text.replace(",", " ").replace(";", " ").split():
        low, dash, high = word.partition("-")
        if dash and low.isdigit() and high.isdigit():
            if int(high) - int(low) >= MOST_RUNS:
                raise ConfigError("", f"{word} names more than {MOST_RUNS} values")
            words += [str(n) for n in range(int(low), int(high) + 1)]
        else:
            words.append(word)
    return words


def count_of(axes: Sequence[Axis]) -> int:
    """How many runs the axes make."""
    return prod(len(axis.values) for axis in axes)


def plan(config: TrainConfig, axes: Sequence[Axis]) -> list[Planned]:
    """Every combination, the last axis fastest. Raises ConfigError for too many or for one refused."""
    if (count := count_of(axes)) > MOST_RUNS:
        raise ConfigError("", f"these are {count:,} runs; at most {MOST_RUNS} are started at once")
    names = [axis.name for axis in axes]
    return [
        Planned(_label(axes, values), replace(config, dict(zip(names, values, strict=True))))
        for values in itertools.product(*(axis.values for axis in axes))
    ]


def _label(axes: Sequence[Axis], values: Sequence[Any]) -> str:
    """The values alone where they speak for themselves: "tcffm, RFLoss off, seed 0"."""
    parts = [
        ("seed " if axis.name == SEED else "" if axis.name == "network.fusion" else f"{axis.title} ")
        + shown(value)
        for axis, value in zip(axes, values, strict=True)
        if len(axis.values) > 1 or axis.name == SEED
    ]
    return ", ".join(parts)


def _value(setting: Setting, text: str) -> Any:
    if setting.type is bool:
        if text.lower() not in ("yes", "no", "true", "false"):
            raise ConfigError(setting.name, f"{text!r} is neither yes nor no")
        return text.lower() in ("yes", "true")
    try:
        return setting.type(text)
    except ValueError:
        kind = "a whole number" if setting.type is int else "a number"
        raise ConfigError(setting.name, f"{text!r} is not {kind}") from None
