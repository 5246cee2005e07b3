"""Cross-entropy and RFLoss, for labels and for distributions of votes.

Notation, used throughout: q_ik is the share of class k in the label of sample i (one-hot for a plain
label, the votes' distribution for a soft one), p_i = Σ_k q_ik · softmax(logits_i)_k is the probability
given to that label (for a plain label: to the true class), n_k = Σ_i q_ik and
μ_k = Σ_i q_ik · p_i / (n_k + 1e-4), which is 0 for a class absent from the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from mmfrm.config import LossConfig

MODES = ("off", "released", "intended")

Summed = Callable[[Tensor], Tensor]  # a sum over this process's samples to that over the batch's


class RFLoss(nn.Module):
    """RFLoss of a batch, a scalar in fp32 whatever the precision of the logits.

    `released`: (1/64) Σ_k Σ_i |p_i − μ_k|, over all samples for every class, and without gradient: both
    are faults of the released program, kept so that its figures can be compared. Never trained on.

    `intended`: (1/2B) Σ_k Σ_i q_ik · |p_i − μ_k|, half the mean absolute deviation of p within the
    classes; differentiable, through μ too. All p equal is a trivial minimum: use it beside cross-entropy.

    `off`: zero.

    Under torch.distributed the batch is that of all devices together: every device's μ is of the whole
    batch, `released` is the whole batch's on every device, and the mean of `intended` over devices (which
    DDP takes), weighted by their parts of the batch, is the whole batch's. So all devices must come here
    together; under `torch.no_grad`, as in validation, where they need not, each looks at its own batch.
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
        p = label_probability(logits, labels)
        summed = _over_devices if torch.is_grad_enabled() else _here
        if self.mode == "intended":
            return _intended(p, labels, logits.shape[1], summed)
        return _released(p.detach(), labels, logits.shape[1], summed)

    def of_split(self, p: Tensor, shares: Tensor, batch_size: int) -> Tensor:
        """RFLoss of a whole split, taken as one batch: p (n,), shares q (n, K) -> ().

        So it depends neither on the order of the samples nor on the batches and processes in which they
        were seen. `released` grows with the batch and is scaled to one of `batch_size` samples, as those
        of the training. In small batches, μ follows its few samples, and in `released` that of an absent
        class is 0: the training's figure, a mean over batches, differs by a little from this one.
        """
        if self.mode == "off":
            return p.new_zeros(())
        if self.mode == "intended":
            return _intended(p, shares, shares.shape[1], _here)
        return _released(p, shares, shares.shape[1], _here) * (batch_size / len(p))


def label_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """p (B,) of logits (B, K) and labels int64 (B,) or shares (B, K), in fp32 at least."""
    # In bf16 a probability near one has two digits, less than the deviations that are measured here.
    probabilities = torch.softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=1)
    if labels.is_floating_point():
        return (labels.to(probabilities.dtype) * probabilities).sum(1)
    return probabilities.gather(1, labels[:, None]).squeeze(1)


def _class_means(p: Tensor, labels: Tensor, classes: int, summed: Summed) -> Tensor:
    # (B,), labels -> μ (K,)
    if labels.is_floating_point():
        shares = labels.to(p.dtype)
        sums = torch.stack([shares.sum(0), p @ shares])
    else:
        pairs = torch.stack([torch.ones_like(p), p])  # counts and sums in one pass
        sums = pairs.new_zeros(2, classes).index_add(1, labels, pairs)
    sums = summed(sums)
    return sums[1] / (sums[0] + 1e-4)


def _here(x: Tensor) -> Tensor:
    return x


def _over_devices(x: Tensor) -> Tensor:
    if not (dist.is_available() and dist.is_initialized()):
        return x
    from mmfrm.ddp import sum_over_processes

    return sum_over_processes(x)


def _intended(p: Tensor, labels: Tensor, classes: int, summed: Summed) -> Tensor:
    means = _class_means(p, labels, classes, summed)
    if labels.is_floating_point():
        deviations = (labels.to(p.dtype) * (p[:, None] - means).abs()).sum()
    else:
        deviations = (p - means[labels]).abs().sum()
    return deviations / (2 * len(p))


def _released(p: Tensor, labels: Tensor, classes: int, summed: Summed) -> Tensor:
    means = _class_means(p, labels, classes, summed)
    return summed((p[:, None] - means).abs().sum()) / 64


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
        # Shown on the chart before it starts, but not paid for. Not under no_grad, which is for validation.
        rfloss = self.rfloss(logits if rfloss_active else logits.detach(), targets)
        return LossParts(self._total(cross_entropy, rfloss, rfloss_active), cross_entropy, rfloss)

    def of_split(
        self, cross_entropy: Tensor, p: Tensor, shares: Tensor, *, rfloss_active: bool, batch_size: int
    ) -> LossParts:
        """The loss of a whole split, whose mean cross-entropy is known, as of `RFLoss.of_split`."""
        rfloss = self.rfloss.of_split(p, shares, batch_size)
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


def logit_adjustment(share: float, sampling_power: float, counts: Tensor) -> Tensor | None:
    """(K,) to add to logits while learning, so that the answers without it are of other shares of classes.

    Sampled in proportion to nᵖ, a class has the prior q ∝ nᵖ instead of π ∝ n. A network that learns with
    share · log(q / π) added says without it what holds under π, for a share of 1 (Menon et al., "Long-tail
    learning via logit adjustment", ICLR 2021, §5). None where there is nothing to add; 0 for absent classes.
    """
    if share == 0 or sampling_power == 1:
        return None
    logs = torch.where(counts > 0, counts.double().clamp(min=1).log(), 0.0)
    return (share * (sampling_power - 1) * (logs - logs.max())).float()


def class_weights(kind: str, counts: Tensor) -> Tensor | None:
    """(K,) counts -> (K,) weights ∝ 1/n (balanced) or 1/√n (sqrt), of mean 1 over the samples, or None."""
    if kind == "none":
        return None
    n = counts.double()
    weights = torch.where(n > 0, n.clamp(min=1) ** (-1.0 if kind == "balanced" else -0.5), 0.0)
    return (weights * n.sum() / (weights * n).sum()).float()
