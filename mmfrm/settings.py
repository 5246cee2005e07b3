"""The settings of a training by name: listed, changed, compared. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from mmfrm.config import TrainConfig
from mmfrm.schema import ConfigError, from_dict

_FREE_TO_CHANGE = ("runtime.", "optim.patience")  # settings that a resumed run may have changed


@dataclass(frozen=True)
class Setting:
    """One leaf of a TrainConfig, as a form or a table shows it."""

    name: str  # dotted: optim.epochs
    group: str  # optim
    type: type
    value: Any
    title: str
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    rare: bool


def settings_of(config: TrainConfig) -> Iterator[Setting]:
    """Every setting of a config, in order."""
    for group in fields(config):
        part = getattr(config, group.name)
        hints = get_type_hints(type(part))
        for f in fields(part):
            yield Setting(
                name=f"{group.name}.{f.name}",
                group=group.name,
                type=hints[f.name],
                value=getattr(part, f.name),
                **f.metadata,
            )


def replace(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """A config with dotted settings changed: replace(config, {"optim.epochs": 3}). Raises ConfigError."""
    data = dataclasses.asdict(config)
    for name, value in changes.items():
        group, _, leaf = name.partition(".")
        if group not in data or leaf not in data[group]:
            raise ConfigError(name, "no such setting")
        data[group][leaf] = value
    return from_dict(TrainConfig, data)


def difference(a: TrainConfig, b: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Dotted names of settings that differ, with both values."""
    pairs = zip(settings_of(a), settings_of(b), strict=True)
    return {x.name: (x.value, y.value) for x, y in pairs if x.value != y.value}


def validation_figure(select_by: str) -> str:
    """The name, among a split's figures, of what a setting or a search calls so.

    By loss, it is cross-entropy: the loss itself is another sum as soon as RFLoss joins it, or with another
    weight of it, and figures of one kind would be compared with those of the other.
    """
    return "cross_entropy" if select_by == "loss" else select_by


def forbidden_changes(a: TrainConfig, b: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Of the settings in which they differ, those that a resumed run may not have changed."""
    changes = difference(a, b).items()
    return {name: pair for name, pair in changes if not name.startswith(_FREE_TO_CHANGE)}
