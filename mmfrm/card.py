"""What programs, not only people, read of a model's card. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def temperature_of(card: Mapping[str, Any]) -> float | None:
    """What the model's logits are to be divided by; None where none was fitted, or it is none."""
    value = card.get("temperature")
    if isinstance(value, int | float) and math.isfinite(value) and value > 0:
        return float(value)
    return None
