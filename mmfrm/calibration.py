"""How sure a network should be: one temperature for all its logits, fitted on faces it did not learn from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmfrm.loss import LossParts
from mmfrm.statistics import gathered

LOWEST, HIGHEST = 0.05, 20.0  # of a temperature
HALVINGS = 60


class Answers:
    """Logits and targets of one pass over a split; takes the place of its statistics."""

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    @torch.no_grad()
    def update(self, logits: Tensor, targets: Tensor, alpha: Tensor, parts: LossParts) -> None:
        """Add a batch: logits (B, K), targets int64 (B,) or float (B, K)."""
        self._logits.append(logits.detach().float())
        self._targets.append(targets)

    def gather(self) -> None:
        """Bring together what all processes of a torch.distributed group saw."""
        self._logits = [gathered(torch.cat(self._logits))]
        self._targets = [gathered(torch.cat(self._targets))]

    def temperature(self) -> float:
        """The best one for what was seen."""
        return fit_temperature(torch.cat(self._logits), torch.cat(self._targets))


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """What logits (n, K) are best divided by, for targets int64 (n,) or float (n, K) of shares.

    Minimises cross-entropy (Guo et al. 2017, arXiv 1706.04599). In 1 / T that is convex, so halving the
    interval in which its slope changes sign finds the minimum; no step size, no start, no failure. Within
    0.05 … 20: where every answer is right, any smaller temperature would be better still.
    """
    logits = logits.double().cpu()
    targets = targets.cpu()
    if not targets.is_floating_point():
        targets = torch.nn.functional.one_hot(targets, logits.shape[1])
    wanted = (targets.double() * logits).sum(1)

    def slope(sharpness: float) -> float:
        mean = (torch.softmax(logits * sharpness, 1) * logits).sum(1)
        return float((mean - wanted).mean())

    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 1 / math.sqrt(low * high)
