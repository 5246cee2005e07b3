"""How far two models differ on a face."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mmfrm.classes import canonical

MODELS = "models:"  # an order of faces; followed by the key of a SecondOpinion


def second_key(order: str) -> int | None:
    """The key of the second opinion that an order goes by; None of any other order."""
    key = order.removeprefix(MODELS)
    is_key = order.startswith(MODELS) and key.isascii() and key.isdigit() and len(key) <= 18
    return int(key) if is_key else None


def by_meaning(probabilities: Sequence[float], classes: Sequence[str]) -> dict[str, float]:
    """Probabilities by the expression that is meant: models differ in spelling and order of their classes."""
    return {canonical(name) or name: p for name, p in zip(classes, probabilities, strict=True)}


def divergence(p: Mapping[str, float], q: Mapping[str, float]) -> float:
    """The Jensen–Shannon divergence in bits, 0…1 (Lin, IEEE Trans. Inf. Theory 37, 1991).

    A class that one model does not know counts as one to which it gives nothing.
    """

    def to_middle(a: Mapping[str, float], b: Mapping[str, float]) -> float:
        return sum(x * math.log2(2 * x / (x + b.get(name, 0.0))) for name, x in a.items() if x > 0)

    return min(1.0, max(0.0, (to_middle(p, q) + to_middle(q, p)) / 2))
