"""What a search may vary: settings of the trainer with a range or some values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmfrm.config import TrainConfig
from mmfrm.schema import ConfigError
from mmfrm.settings import Setting, replace
from webapp.experiments import sweeps

# They do not make a run better, but change what it is measured on or by; or, as the seed does, its luck.
MEASURE = (
    "data.label_rule",
    "data.val_fraction",
    "data.split_seed",
    "data.max_eval",
    "optim.select_by",
)
DIGITS = 4  # significant ones of a chosen number: more would be false precision, and hard to read


@dataclass(frozen=True)
class Dimension:
    """A setting and where its values may lie. `kind` is float, int or choice."""

    name: str
    title: str
    kind: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"choices": list(self.choices)}

    def rounded(self, value: Any) -> Any:
        """A value with few digits that still lies in the range."""
        if self.kind != "float" or self.low is None or self.high is None:
            return value
        return min(self.high, max(self.low, float(f"{value:.{DIGITS}g}")))


def from_json(rows: Sequence[dict[str, Any]]) -> list[Dimension]:
    """The dimensions that a search keeps."""
    return [Dimension(**(row | {"choices": tuple(row["choices"])})) for row in rows]


def offered(config: TrainConfig) -> list[Setting]:
    """The settings that may be searched over."""
    return [s for s in sweeps.offered(config) if s.group != "runtime" and s.name not in MEASURE]


def dimension_of(
    config: TrainConfig,
    name: str,
    *,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    words: Sequence[str] = (),
) -> Dimension:
    """A dimension from what was typed: a range, or values. Raises ConfigError in words for people."""
    setting = next((s for s in offered(config) if s.name == name), None)
    if setting is None:
        raise ConfigError(name, "this cannot be searched over")
    is_named = setting.type is bool or bool(setting.choices)
    if words or is_named:
        if low is not None or high is not None:
            raise ConfigError(name, "give either a range or values, not both")
        return _choice(config, setting, words)
    if setting.type not in (int, float):
        raise ConfigError(name, "this cannot be searched over")
    if low is None or high is None:
        raise ConfigError(name, "say from where to where, or name some values")
    return _range(config, setting, low, high, log)


def count_of(space: Sequence[Dimension]) -> int | None:
    """How many combinations there are; None where a number varies freely."""
    counts = [
        len(d.choices) if d.kind == "choice" else int(d.high or 0) - int(d.low or 0) + 1
        for d in space
        if d.kind != "float"
    ]
    return math.prod(counts) if len(counts) == len(space) else None


def _choice(config: TrainConfig, setting: Setting, words: Sequence[str]) -> Dimension:
    every = ("yes", "no") if setting.type is bool else setting.choices
    axis = sweeps.axis_of(config, setting.name, words or every)
    if len(axis.values) < 2:
        raise ConfigError(setting.name, "name at least two values: one alone leaves nothing to choose")
    return Dimension(setting.name, setting.title, "choice", choices=axis.values)


def _range(config: TrainConfig, setting: Setting, low: float, high: float, log: bool) -> Dimension:
    if setting.type is int and not (low.is_integer() and high.is_integer()):
        raise ConfigError(setting.name, "both ends must be whole numbers")
    if low >= high:
        raise ConfigError(setting.name, "it must end above where it begins")
    if log and low <= 0:
        raise ConfigError(setting.name, "a logarithmic range must begin above 0")
    for end in (low, high):
        replace(config, {setting.name: setting.type(end)})  # its bounds are checked where they are defined
    return Dimension(setting.name, setting.title, setting.type.__name__, low, high, log)
