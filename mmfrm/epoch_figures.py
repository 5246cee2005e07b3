"""What the training part says of the epoch in progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmfrm.learner import Outcome
from mmfrm.statistics import SplitStatistics


class EpochFigures:
    """Statistics of every answer since the epoch began, and the sum of the gradients' norms.

    Each process of a group holds those of its own images.
    """

    def __init__(self, classes: Sequence[str], device: torch.device) -> None:
        self._device = device
        self._statistics = SplitStatistics(classes)
        self._norms = torch.zeros((), device=device)

    def add(self, outcome: Outcome) -> None:
        """Count one step."""
        self._statistics.update(outcome.logits, outcome.targets, outcome.alpha, outcome.parts)
        self._norms += outcome.gradient_norm.nan_to_num(posinf=0.0)  # fp16 skips a step now and then

    def gradient_norm(self, steps: int) -> float:
        """The mean over so many steps."""
        return float(self._norms) / steps

    def gathered(self) -> SplitStatistics:
        """Those of all processes, leaving each process's own as they are. Every process must come here."""
        gathered = SplitStatistics(self._statistics.classes)
        gathered.load_state({name: values.clone() for name, values in self._statistics.state().items()})
        gathered.gather()
        return gathered

    def state(self) -> dict[str, Any]:
        """For a checkpoint, of all processes. Every process must come here."""
        return {"statistics": self.gathered().state(), "norms": self._norms}

    def load_state(self, state: Mapping[str, Any], *, speaks: bool) -> None:
        """Go on from `state()`. What is of all processes is held by the one that speaks."""
        saved = {name: values.to(self._device) for name, values in state["statistics"].items()}
        if not speaks:
            saved = {name: values * 0 if name == "sums" else values[:0] for name, values in saved.items()}
        self._statistics.load_state(saved)
        self._norms.copy_(state["norms"])
