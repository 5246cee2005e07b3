"""What ships with this package, by path. No torch."""

from __future__ import annotations

from pathlib import Path

STARTER = Path(__file__).parent / "weights" / "starter"  # a model folder: eight expressions, from FERPlus
