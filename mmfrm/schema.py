"""Dataclass settings that explain and check themselves, and their way from and to plain data. No torch.

The metadata of each field (title, help, low, high, choices) is what the command line's `--help` and the
web application's forms are made from, so a setting is described exactly once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


class ConfigError(ValueError):
    """A setting is wrong. `field` names it (dotted), the text says what is allowed."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.field = name
        self.problem = problem


def setting(
    default: Any,
    title: str,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    rare: bool = False,
) -> Any:
    """A dataclass field that knows how to explain and check itself. `rare` ones are folded in forms.

    A type as default (dict, list) is called for each new object.
    """
    metadata = {
        "title": title,
        "help": help,
        "low": low,
        "high": high,
        "choices": tuple(choices),
        "rare": rare,
    }
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def required(title: str, help: str, *, choices: Sequence[str] = ()) -> Any:
    """A dataclass field without a default: whoever makes the settings must give it."""
    metadata = {
        "title": title,
        "help": help,
        "low": None,
        "high": None,
        "choices": tuple(choices),
        "rare": False,
    }
    return field(metadata=metadata)


class Checked:
    """Checks every field against its own metadata when made."""

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            _check(f.name, getattr(self, f.name), f.metadata)


def _check(name: str, value: Any, rules: Mapping[str, Any]) -> None:
    if rules.get("choices") and value not in rules["choices"]:
        raise ConfigError(name, f"{value!r} is not one of {', '.join(rules['choices'])}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    low, high = rules.get("low"), rules.get("high")
    if math.isnan(value) or (low is not None and value < low) or (high is not None and value > high):
        raise ConfigError(name, f"{value} is not between {low} and {high}")


def from_dict(cls: type[T], data: Mapping[str, Any], prefix: str = "") -> T:
    """Build a (nested) settings dataclass from plain data, naming the first field that is wrong."""
    hints = get_type_hints(cls)
    unknown = set(data) - set(hints)
    if unknown:
        raise ConfigError(prefix + sorted(unknown)[0], "no such setting")
    missing = [f.name for f in fields(cls) if _is_required(f) and f.name not in data]  # type: ignore[arg-type]
    if missing:
        raise ConfigError(prefix + missing[0], "is needed")
    values = {k: _coerce(prefix + k, hints[k], v) for k, v in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(prefix + error.field, error.problem) from None


def _is_required(f: Field[Any]) -> bool:
    return f.default is MISSING and f.default_factory is MISSING


def _coerce(name: str, hint: Any, value: Any) -> Any:
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(name, "must be a group of settings")
        return from_dict(hint, value, name + ".")  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = hint if isinstance(hint, type) else getattr(hint, "__origin__", None)
    if plain is int and isinstance(value, bool):
        raise ConfigError(name, "must be a whole number")
    if plain is not None and not isinstance(value, plain):
        raise ConfigError(name, f"must be {getattr(plain, '__name__', plain)}, not {type(value).__name__}")
    return value
