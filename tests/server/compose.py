"""docker-compose.yml as far as it can be lived without containers: interpolation, environment, commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parents[2] / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<sign>[-?])(?P<text>[^}]*))?\}")


def load() -> dict[str, Any]:
    """The file as it is written, with YAML's own anchors and merges resolved."""
    with FILE.open() as file:
        document: dict[str, Any] = yaml.safe_load(file)
    return document


def interpolated(value: Any, env: Mapping[str, str]) -> Any:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?error}` replaced, as the specification says."""
    if isinstance(value, dict):
        return {key: interpolated(part, env) for key, part in value.items()}
    if isinstance(value, list):
        return [interpolated(part, env) for part in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: _value(found, env), value)
    return value


def _value(found: re.Match[str], env: Mapping[str, str]) -> str:
    given = env.get(found["name"], "")
    if given or found["sign"] is None:
        return given
    if found["sign"] == "?":
        raise KeyError(f"{found['name']}: {found['text']}")
    return found["text"]


def services(env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services with the environment's values put in."""
    found: dict[str, dict[str, Any]] = interpolated(load()["services"], env)
    return found
