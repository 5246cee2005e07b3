"""Cross-entropy and RFLoss, for labels and for distributions of votes.

Notation, used throughout: q_ik is the share of class k in the label of sample i (one-hot for a plain
label, the votes' distribution for a soft one), p_i = Σ_k q_ik · softmax(logits_i)_k is the probability
given to that label (for a plain label: to the true class), n_k = Σ_i q_ik and
μ_k = Σ_i q_ik · p_i / (n_k + 1e-4), which is 0 for a class absent from the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from mmfrm.config import LossConfig

MODES = ("off", "released", "intended")


class RFLoss(nn.Module):
    """RFLoss of a batch, a scalar in fp32 whatever the precision of the logits.

    `released`: (1/64) Σ_k Σ_i |p_i − μ_k|, over all samples for every class, and without gradient: both
    are faults of the released program, kept so that its figures can be compared. Never trained on.

    `intended`: (1/2B) Σ_k Σ_i q_ik · |p_i − μ_k|, half the mean absolute deviation of p within the
    classes; differentiable, through μ too. All p equal is a trivial minimum: use it beside cross-entropy.
    While gradients are recorded under torch.distributed, μ is that of the whole batch on all devices, so
    that the mean over devices (which DDP takes) is the loss of the whole batch.

    `off`: zero.
    """

    def __init__(self, mode: str = "intended") -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"RFLoss mode {mode!r} is not one of {', '.join(MODES)}")
        self.mode = mode

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        # (B, K), int64 (B,) or float (B, K) -> ()
        if self.mode == "off":
            return torch.zeros((), device=logits.device)
        return _intended(logits, labels) if self.mode == "intended" else _released(logits, labels)


def _probabilities(logits: Tensor) -> Tensor:
    # In bf16 a probability near one has two digits, less than the deviations that are measured here.
    return torch.softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=1)


def _label_probability(logits: Tensor, labels: Tensor) -> Tensor:
    # (B, K), labels -> p (B,)
    probabilities = _probabilities(logits)
    if labels.is_floating_point():
        return (labels.to(probabilities.dtype) * probabilities).sum(1)
    return probabilities.gather(1, labels[:, None]).squeeze(1)


def _class_means(p: Tensor, labels: Tensor, classes: int, *, over_devices: bool = False) -> Tensor:
    # (B,), labels -> μ (K,)
    if labels.is_floating_point():
        shares = labels.to(p.dtype)
        sums = torch.stack([shares.sum(0), p @ shares])
    else:
        pairs = torch.stack([torch.ones_like(p), p])  # counts and sums in one pass
        sums = pairs.new_zeros(2, classes).index_add(1, labels, pairs)
    if over_devices:
        sums = _sum_over_devices(sums)
    return sums[1] / (sums[0] + 1e-4)


def _sum_over_devices(x: Tensor) -> Tensor:
    if not (torch.is_grad_enabled() and dist.is_available() and dist.is_initialized()):
        return x
    from mmfrm.ddp import sum_over_processes

    return sum_over_processes(x)


def _intended(logits: Tensor, labels: Tensor) -> Tensor:
    p = _label_probability(logits, labels)
    means = _class_means(p, labels, logits.shape[1], over_devices=True)
    if labels.is_floating_point():
        deviations = (labels.to(p.dtype) * (p[:, None] - means).abs()).sum()
    else:
        deviations = (p - means[labels]).abs().sum()
    return deviations / (2 * len(p))


@torch.no_grad()
def _released(logits: Tensor, labels: Tensor) -> Tensor:
    p = _label_probability(logits, labels)
    means = _class_means(p, labels, logits.shape[1])
    return (p[:, None] - means).abs().sum() / 64


class LossParts(NamedTuple):
    """Scalars in fp32. `total` is what is trained on; the other two are unweighted."""

    total: Tensor
    cross_entropy: Tensor
    rfloss: Tensor


class Criterion(nn.Module):
    """The training loss: cross-entropy alone, or its weighted sum with RFLoss once that is active.

    `class_counts` (K,) are those of the training part; class weights made of them average to one over it,
    and the weighted loss is divided by B, so that parts of a batch average to the whole batch's loss.
    An absent class has weight zero.
    """

    class_weights: Tensor | None

    def __init__(self, config: LossConfig, class_counts: Tensor) -> None:
        super().__init__()
        self.config = config
        self.rfloss = RFLoss(config.rfloss)
        self.register_buffer("class_weights", class_weights(config.class_weights, class_counts))

    def forward(self, logits: Tensor, targets: Tensor, rfloss_active: bool) -> LossParts:
        # (B, K), int64 (B,) or float (B, K) -> three scalars
        if logits.dtype != torch.float64:
            logits = logits.float()
        cross_entropy = self._cross_entropy(logits, targets)
        if self.config.rfloss == "intended" and not rfloss_active:
            with torch.no_grad():  # shown on the chart before it starts, but not paid for
                rfloss = self.rfloss(logits, targets)
        else:
            rfloss = self.rfloss(logits, targets)
        return LossParts(self._total(cross_entropy, rfloss, rfloss_active), cross_entropy, rfloss)

    def _total(self, cross_entropy: Tensor, rfloss: Tensor, rfloss_active: bool) -> Tensor:
        if self.config.rfloss == "off" or not rfloss_active:
            return cross_entropy
        # In mode "released" the second term has no gradient: what is left is 0.9 · CE, as released.
        return self.config.cross_entropy_weight * cross_entropy + self.config.rfloss_weight * rfloss

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.config.label_smoothing
        if targets.is_floating_point():
            return F.cross_entropy(
                logits, targets.to(logits.dtype), self.class_weights, label_smoothing=smoothing
            )
        losses = F.cross_entropy(
            logits, targets, self.class_weights, reduction="none", label_smoothing=smoothing
        )
        return losses.mean()


def class_weights(kind: str, counts: Tensor) -> Tensor | None:
    """(K,) counts -> (K,) weights ∝ 1/n (balanced) or 1/√n (sqrt), of mean 1 over the samples, or None."""
    if kind == "none":
        return None
    n = counts.double()
    weights = torch.where(n > 0, n.clamp(min=1) ** (-1.0 if kind == "balanced" else -0.5), 0.0)
    return (weights * n.sum() / (weights * n).sum()).float()
