"""How good a model is, from a random part of its answers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A share with its 95 % interval; all three within 0…1."""

    right: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The share itself."""
        return self.right / self.of


def wilson(right: int, of: int, z: float = 1.959964) -> Estimate | None:
    """The score interval (Wilson, JASA 22, 1927), which stays within 0…1 also for few; None of none."""
    if of == 0:
        return None
    share = right / of
    width = 1 + z * z / of
    centre = (share + z * z / (2 * of)) / width
    reach = z / width * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return Estimate(right, of, max(0.0, centre - reach), min(1.0, centre + reach))
