"""A model folder as the engines see it: classes, identity, and derived files kept beside it. No torch."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import file_digest
from pathlib import Path
from typing import Any

from mmfrm.card import temperature_of
from mmfrm.failures import JobError
from mmfrm.machine import cache_folder


@dataclass
class ModelFiles:
    """A folder written by `mmfrm.checkpoint.save_model`."""

    folder: Path
    description: dict[str, Any] = field(init=False)  # model.json

    def __post_init__(self) -> None:
        path = self.folder / "model.json"
        try:
            self.description = json.loads(path.read_text())
            self.classes = tuple(self.description["classes"])
        except FileNotFoundError:
            text = f"{self.folder} is not a model folder: it has no model.json. Give a run's model/ folder."
            raise JobError(text) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JobError(
                f"{path} is damaged ({error}). Copy the model again, or export it anew."
            ) from error

    @cached_property
    def identity(self) -> str:
        """Names the weights; 16 hexadecimal digits. Raises JobError where they are missing or torn."""
        path = self.folder / "model.safetensors"
        try:
            with path.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise JobError(f"{path} cannot be read ({error.strerror}). Copy the model again.") from error
        if digest != self.description.get("weights_sha256"):
            raise JobError(f"{path} is torn, or belongs to another model.json. Copy the whole folder again.")
        return digest[:16]

    @property
    def card(self) -> dict[str, Any]:
        """What is told of the model; empty where nothing is."""
        card = self.description.get("card")
        return card if isinstance(card, dict) else {}

    @property
    def temperature(self) -> float:
        """What its logits are to be divided by; 1 where none was fitted."""
        return temperature_of(self.card) or 1.0

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        """By engine: what reduced precision was measured to change (see `mmfrm.engines.check`)."""
        checks = self.description.get("engines", {})
        return checks if isinstance(checks, dict) else {}

    def is_accurate(self, engine: str) -> bool:
        """Whether this engine may be used: full precision always, reduced where it was checked."""
        return engine.endswith("-fp32") or bool(self.checks.get(engine, {}).get("is_accurate"))

    def derived(self, name: str, make: Callable[[Path], None]) -> Path:
        """A folder of files made from the weights, once: in the model folder, or else in the cache.

        `make` fills an empty folder, which then appears whole under its name.
        """
        found = self.found(name)
        if found is not None:
            return found
        for place in self._places():
            try:
                part = part_of(place / name)
            except OSError:
                continue
            whole = fill(part, place / name, make)
            self._forget_older()
            return whole
        raise JobError(f"{self.folder} may not be written, nor the cache. Set MMFRM_CACHE to a folder.")

    def found(self, name: str) -> Path | None:
        """A folder that `derived` made from these weights."""
        return next((place / name for place in self._places() if (place / name).is_dir()), None)

    def forget(self, name: str) -> None:
        """Delete a folder that `derived` made."""
        for place in self._places():
            shutil.rmtree(place / name, ignore_errors=True)

    def _places(self) -> list[Path]:
        return [folder / "engines" / self.identity for folder in (self.folder, cache_folder())]

    def _forget_older(self) -> None:
        """A run writes its model folder anew whenever it gets better; what was made of older weights goes."""
        for place in (self.folder / "engines").glob("*/"):
            if place.name != self.identity:
                shutil.rmtree(place, ignore_errors=True)

    def remember(self, name: str, data: dict[str, Any]) -> None:
        """Keep a small finding about this model on this machine; where nothing may be written, forget it."""
        for place in (self.folder / "engines", cache_folder() / "engines"):
            try:
                place.mkdir(parents=True, exist_ok=True)
                part = place / f".{name}.{os.getpid()}.part"
                part.write_text(json.dumps(data, indent=2) + "\n")
                part.replace(place / name)
            except OSError:
                continue
            return

    def remembered(self, name: str) -> dict[str, Any] | None:
        """What `remember` kept."""
        for place in (self.folder / "engines", cache_folder() / "engines"):
            try:
                data = json.loads((place / name).read_text())
            except (OSError, ValueError):
                continue
            if isinstance(data, dict):
                return data
        return None

    def write_checks(self, checks: dict[str, dict[str, Any]]) -> None:
        """Write the checks into model.json, whole or not at all."""
        self.description["engines"] = self.checks | checks
        part = self.folder / "model.json.part"
        part.write_text(json.dumps(self.description, indent=2, ensure_ascii=False) + "\n")
        part.replace(self.folder / "model.json")


def part_of(whole: Path) -> Path:
    """An empty folder beside one to be. Raises OSError where nothing may be written."""
    whole.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{whole.name}-", dir=whole.parent))


def fill(part: Path, whole: Path, make: Callable[[Path], None]) -> Path:
    """Let `make` fill a part, which then appears under its own name; what it leaves half done is deleted."""
    try:
        make(part)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    part.chmod(0o755)  # mkdtemp's are private; a model folder may be shared by a lab
    try:
        part.replace(whole)
    except OSError:  # another process was quicker: its files are as good
        shutil.rmtree(part, ignore_errors=True)
    return whole
