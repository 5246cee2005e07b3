"""What ships with this package, by path. No torch."""

from __future__ import annotations

from pathlib import Path

_WEIGHTS = Path(__file__).parent / "weights"
STARTER = _WEIGHTS / "starter"  # a model folder: eight expressions, from FERPlus
QUICK = _WEIGHTS / "quick"  # the same expressions by a network without landmarks, for very many pictures
