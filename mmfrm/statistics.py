"""What an epoch says about a split: accuracy with its interval, recalls, calibration, spread of p(true).

The figures are few and each is a line, so they are computed here from counts; torchmetrics would bring
its own state handling for each of them, and has neither intervals nor the spread of p(true). The tests
hold confusion, F1 and calibration error against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mmfrm.loss import LossParts, label_probability

BINS = 15  # of the calibration error, as in Guo et al. 2017 (arXiv 1706.04599)
Z95 = 1.959963984540054  # two-sided 95 %

# Mean cross-entropy (), p (n,) and shares (n, K) of a whole split -> its loss.
WholeLoss = Callable[[Tensor, Tensor, Tensor], LossParts]


class SplitStatistics:
    """Collects one pass over a split on the device, without making the host wait; `figures()` reads it once.

    Under soft labels the true class of a sample is the one with the largest share. All figures are of the
    logits as they are; with a `temperature` there is also the calibration error of logits divided by it.

    The losses are the means of those told with the batches. RFLoss depends on the batch it is taken of; with
    `whole_loss`, it and the total are taken of the split as a whole, however it was cut into batches and
    given to processes.
    """

    def __init__(
        self,
        classes: Sequence[str],
        temperature: float | None = None,
        whole_loss: WholeLoss | None = None,
    ) -> None:
        self.classes = tuple(classes)
        self.temperature = temperature
        self._whole_loss = whole_loss
        # 1, total, cross-entropy and RFLoss, each times the batch size and summed.
        self._sums: Tensor | None = None
        # One value a sample. All are kept (20 bytes each), since the deviation of p(true) about the mean
        # of its class is known only when the pass is over.
        self._labels: list[Tensor] = []
        self._predictions: list[Tensor] = []
        self._confidences: list[Tensor] = []
        self._tempered: list[Tensor] = []  # confidences at the temperature
        self._p_true: list[Tensor] = []
        self._alphas: list[Tensor] = []
        self._targets: list[Tensor] = []  # as they came, and
        self._p_label: list[Tensor] = []  # what is given to them, both for `whole_loss`

    @torch.no_grad()
    def update(self, logits: Tensor, targets: Tensor, alpha: Tensor, parts: LossParts) -> None:
        """Add a batch: logits (B, K), targets int64 (B,) or float (B, K), alpha (B, 1) or (B,)."""
        labels = targets.argmax(1) if targets.is_floating_point() else targets
        probabilities = torch.softmax(logits.float(), dim=1)
        confidence, prediction = probabilities.max(1)
        self._labels.append(labels)
        self._predictions.append(prediction)
        self._confidences.append(confidence)
        self._p_true.append(probabilities.gather(1, labels[:, None]).squeeze(1))
        if self.temperature is not None:
            self._tempered.append(torch.softmax(logits.float() / self.temperature, dim=1).amax(1))
        self._alphas.append(alpha.detach().float().flatten())
        if self._whole_loss is not None:
            self._targets.append(targets)
            self._p_label.append(label_probability(logits, targets))
        losses = torch.stack([torch.ones_like(parts.total), *parts]).detach().float() * len(labels)
        self._sums = losses if self._sums is None else self._sums + losses

    def gather(self) -> None:
        """Bring together what all processes of a torch.distributed group saw; without one, nothing to do."""
        if self._sums is None or not (dist.is_available() and dist.is_initialized()):
            return
        dist.all_reduce(self._sums)
        for kept in self._kept().values():
            kept[:] = [gathered(torch.cat(kept))]

    def state(self) -> dict[str, Tensor]:
        """What was seen so far, for a checkpoint in the middle of a pass; empty before the first batch."""
        if self._sums is None:
            return {}
        return {"sums": self._sums} | {name: torch.cat(kept) for name, kept in self._kept().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state()`."""
        self._sums = state.get("sums")
        for name, kept in self._kept().items():
            kept[:] = [state[name]] if state else []

    def _kept(self) -> dict[str, list[Tensor]]:
        return {
            "labels": self._labels,
            "predictions": self._predictions,
            "confidences": self._confidences,
            "p_true": self._p_true,
            "alphas": self._alphas,
            **({} if self.temperature is None else {"tempered": self._tempered}),
            **({} if self._whole_loss is None else {"targets": self._targets, "p_label": self._p_label}),
        }

    def figures(self) -> dict[str, Any]:
        """Everything named at `mmfrm.events.EpochEnd`, as plain numbers. ValueError if nothing was seen."""
        if self._sums is None:
            raise ValueError("no batch was seen, so there are no figures")
        labels, predictions = torch.cat(self._labels).cpu(), torch.cat(self._predictions).cpu()
        confusion = _confusion(labels, predictions, len(self.classes))
        alphas = torch.cat(self._alphas).double().cpu()
        right = int(confusion.trace())
        low, high = wilson(right, len(labels))
        classes = self._class_figures(confusion, labels)
        present = [c for c in classes if c["count"]]
        return {
            "count": len(labels),
            **self._losses(self._sums.double().cpu()),
            "accuracy": right / len(labels),
            "accuracy_low": low,
            "accuracy_high": high,
            "mean_class_accuracy": sum(c["recall"] for c in present) / len(present),
            "macro_f1": sum(c["f1"] for c in present) / len(present),
            "calibration_error": calibration_error(torch.cat(self._confidences).cpu(), labels == predictions),
            **self._at_temperature(labels == predictions),
            "alpha_mean": alphas.mean().item(),
            "alpha_std": alphas.std(correction=0).item(),
            "confusion": confusion.tolist(),
            "classes": classes,
        }

    def _losses(self, sums: Tensor) -> dict[str, float]:
        parts = LossParts(*(sums[1:] / sums[0]))
        if self._whole_loss is not None:
            targets, p = torch.cat(self._targets).cpu(), torch.cat(self._p_label).double().cpu()
            if not targets.is_floating_point():
                targets = torch.nn.functional.one_hot(targets, len(self.classes))
            parts = self._whole_loss(parts.cross_entropy, p, targets.double())
        total, cross_entropy, rfloss = (part.item() for part in parts)
        return {"loss": total, "cross_entropy": cross_entropy, "rfloss": rfloss}

    def _at_temperature(self, correct: Tensor) -> dict[str, float]:
        if self.temperature is None:
            return {}
        error = calibration_error(torch.cat(self._tempered).cpu(), correct)
        return {"temperature": self.temperature, "calibration_error_tempered": error}

    def _class_figures(self, confusion: Tensor, labels: Tensor) -> list[dict[str, Any]]:
        p_true = torch.cat(self._p_true).double().cpu()
        rows = []
        for k, name in enumerate(self.classes):
            right, true = int(confusion[k, k]), int(confusion[k].sum())
            predicted = int(confusion[:, k].sum())
            low, high = wilson(right, true)
            rows.append(
                {
                    "name": name,
                    "count": true,
                    "precision": right / predicted if predicted else 0.0,
                    "recall": right / true if true else 0.0,
                    "recall_low": low,
                    "recall_high": high,
                    "f1": 2 * right / (true + predicted) if true + predicted else 0.0,
                    **_spread(p_true[labels == k]),
                }
            )
        return rows


def _spread(p: Tensor) -> dict[str, float | None]:
    """Mean, variance (over n), mean absolute deviation about the mean; None for a class without samples."""
    if not len(p):
        return {"p_true_mean": None, "p_true_variance": None, "p_true_mad": None}
    mean = p.mean()
    return {
        "p_true_mean": mean.item(),
        "p_true_variance": p.var(correction=0).item(),
        "p_true_mad": (p - mean).abs().mean().item(),
    }


def _confusion(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """(K, K) counts, rows true."""
    return torch.bincount(labels * classes + predictions, minlength=classes * classes).view(classes, classes)


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), honest near 0 and 1 and for few samples; (0, 1) for none."""
    if not count:
        return 0.0, 1.0
    share, z2 = right / count, Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def calibration_error(confidences: Tensor, correct: Tensor) -> float:
    """Expected calibration error: |accuracy − confidence| over 15 equal bins, weighted by their counts."""
    bins = (confidences.double() * BINS).ceil().long().sub(1).clamp(0, BINS - 1)  # right-closed bins
    excess = torch.zeros(BINS, dtype=torch.float64)
    excess.index_add_(0, bins, correct.double() - confidences.double())
    return (excess.abs().sum() / len(confidences)).item()


def gathered(own: Tensor) -> Tensor:
    """Values (n, …) of all processes, whose n may differ, in the order of ranks."""
    if not (dist.is_available() and dist.is_initialized()):
        return own
    length = torch.tensor([len(own)], device=own.device)
    lengths = [torch.zeros_like(length) for _ in range(dist.get_world_size())]
    dist.all_gather(lengths, length)
    sizes = [int(n) for n in lengths]
    padded = own.new_zeros(max(sizes), *own.shape[1:])
    padded[: len(own)] = own
    parts = [torch.zeros_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
