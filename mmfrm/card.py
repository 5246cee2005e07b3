"""What cards of models have in common, whoever writes them; and what programs read of them. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmfrm.config import TrainConfig
from mmfrm.presets import presets
from mmfrm.settings import difference, settings_of

HEADLINES = (
    "count", "accuracy", "accuracy_low", "accuracy_high", "mean_class_accuracy", "macro_f1",
    "calibration_error", "temperature", "calibration_error_tempered", "classes",
)  # fmt: skip


def temperature_of(card: Mapping[str, Any]) -> float | None:
    """What the model's logits are to be divided by; None where none was fitted, or it is none."""
    value = card.get("temperature")
    if isinstance(value, int | float) and math.isfinite(value) and value > 0:
        return float(value)
    return None


def figures_of(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What a card keeps of the figures of a split: all but the confusions."""
    return {name: figures[name] for name in HEADLINES if name in figures}


def recipe_of(config: TrainConfig, preset: str, *, epochs: int, parameters: int | None) -> dict[str, Any]:
    """How a model was made; `preset` is what its settings began with, and may be unknown by now."""
    usual = presets().get(preset)
    titles = {s.name: s.title for s in settings_of(config)}
    return {
        "preset": preset,
        "size": config.network.size,
        "fusion": config.network.fusion,
        "epochs": epochs,
        "seed": config.runtime.seed,
        "parameters": parameters,
        "changes": [
            {"setting": titles[name], "preset": before, "value": value}
            for name, (before, value) in (difference(usual, config) if usual else {}).items()
            if not name.startswith("runtime.")  # the machine's side, which does not change what is learned
        ],
    }
