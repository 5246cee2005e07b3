"""Presets as the form shows them, and as it compares with them."""

from __future__ import annotations

from typing import Any

from mmfrm.config import TrainConfig
from mmfrm.presets import presets
from mmfrm.settings import settings_of

TITLES = {
    "quick-look": ("Quick look", "Does it learn at all? A part of the data, a small network, minutes."),
    "small": ("Small", "A fraction of the cost, for laptops and first answers."),
    "best": ("Best", "The full network with what has helped since."),
    "paper": ("Paper", "The published recipe with its faults mended."),
}


def preset_cards() -> list[dict[str, Any]]:
    """One card a preset, cheapest first: name, title, text and the few settings that tell them apart."""
    known = presets()
    names = [name for name in TITLES if name in known] + [name for name in known if name not in TITLES]
    return [_card(name, known[name]) for name in names]


def preset_values() -> dict[str, dict[str, Any]]:
    """Every setting of every preset, for the browser to compare with."""
    return {name: {s.name: s.value for s in settings_of(config)} for name, config in presets().items()}


def _card(name: str, config: TrainConfig) -> dict[str, Any]:
    title, text = TITLES.get(name, (name, ""))
    optim = config.optim
    facts = [
        f"{optim.epochs} epochs",
        f"{config.network.size} network",
        f"RFLoss {config.loss.rfloss}",
        f"{optim.optimizer}, batch {optim.batch_size}",
    ]
    return {"name": name, "title": title, "text": text, "facts": facts}
