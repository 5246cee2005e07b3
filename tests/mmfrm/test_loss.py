"""RFLoss in its two readings, and the criterion that weighs it against cross-entropy."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from mmfrm.config import LossConfig
from mmfrm.data.sampling import POWERS
from mmfrm.loss import Criterion, RFLoss, class_weights, label_probability, logit_adjustment
from tests.mmfrm.test_golden_vectors import REFERENCE, reference_program

COUNTS = torch.tensor([50, 30, 20])


def batch(size: int = 12, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(size, classes, generator=generator)
    return logits, torch.randint(0, classes, (size,), generator=generator)


def by_the_definition(logits: Tensor, labels: Tensor) -> Tensor:
    """Half the mean absolute deviation of p within the classes, sample by sample."""
    p = torch.softmax(logits, 1)
    total = torch.zeros(())
    for k in range(logits.shape[1]):
        own = [p[i, k] for i in range(len(p)) if labels[i] == k]
        if own:
            mean = sum(own, torch.zeros(())) / (len(own) + 1e-4)
            total = total + sum(((x - mean).abs() for x in own), torch.zeros(()))
    return total / (2 * len(p))


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference vectors are absent (../shared)")
def test_released_values_are_reproduced() -> None:
    with np.load(REFERENCE / "golden.npz") as golden:
        values, batches = golden["released_rfloss"], golden["released_rfloss_batches"]
    for case, (value, size) in enumerate(zip(values, batches, strict=True)):
        logits, labels = reference_program().loss_case(int(size), 7, case)
        ours = RFLoss("released")(torch.from_numpy(logits), torch.from_numpy(labels))
        assert ours.item() == pytest.approx(value, rel=1e-5)


def test_the_released_form_passes_no_gradient() -> None:
    logits, labels = batch()
    assert not RFLoss("released")(logits.requires_grad_(), labels).requires_grad


def test_the_intended_form_is_half_the_mean_deviation_within_classes() -> None:
    for seed in range(5):
        logits, labels = batch(seed=seed)
        assert RFLoss("intended")(logits, labels).item() == pytest.approx(
            by_the_definition(logits, labels).item(), rel=1e-5
        )


@pytest.mark.parametrize("soft", [False, True])
def test_the_intended_form_passes_a_gradient_check(soft: bool) -> None:
    logits, labels = batch()
    targets = torch.softmax(batch(seed=1)[0].double(), 1) if soft else labels
    assert torch.autograd.gradcheck(
        lambda x: RFLoss("intended")(x, targets), (logits.double().requires_grad_(),)
    )


@pytest.mark.parametrize("mode", ["released", "intended"])
def test_one_hot_votes_answer_as_their_labels_do(mode: str) -> None:
    logits, labels = batch()
    votes = F.one_hot(labels, 3).float()
    assert RFLoss(mode)(logits, votes).item() == pytest.approx(RFLoss(mode)(logits, labels).item(), rel=1e-6)


def test_equal_confidence_within_classes_has_almost_no_intended_loss() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    logits = 3.0 * F.one_hot(labels, 3).float()
    assert RFLoss("intended")(logits, labels).item() < 1e-4


@pytest.mark.parametrize("mode", ["released", "intended"])
def test_bf16_logits_are_computed_in_full_precision(mode: str) -> None:
    logits, labels = batch(256)
    halves = logits.bfloat16()
    loss = RFLoss(mode)(halves, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(RFLoss(mode)(halves.float(), labels).item(), rel=1e-6)


def test_off_is_zero_and_an_unknown_mode_is_named() -> None:
    assert RFLoss("off")(*batch()).item() == 0.0
    with pytest.raises(ValueError, match="'on' is not one of off, released, intended"):
        RFLoss("on")


def test_before_it_starts_the_total_is_cross_entropy_and_rfloss_is_only_shown() -> None:
    logits, labels = batch()
    parts = Criterion(LossConfig(rfloss="intended"), COUNTS)(logits.requires_grad_(), labels, False)
    assert parts.total.item() == pytest.approx(F.cross_entropy(logits, labels).item())
    assert parts.rfloss.item() > 0
    assert not parts.rfloss.requires_grad


def test_once_it_starts_both_parts_are_weighed() -> None:
    logits, labels = batch()
    parts = Criterion(LossConfig(rfloss="intended"), COUNTS)(logits.requires_grad_(), labels, True)
    assert parts.total.item() == pytest.approx(0.9 * parts.cross_entropy.item() + 0.2 * parts.rfloss.item())
    assert parts.rfloss.requires_grad


def test_with_rfloss_off_the_cross_entropy_is_not_scaled_down() -> None:
    parts = Criterion(LossConfig(), COUNTS)(*batch(), True)
    assert parts.total.item() == parts.cross_entropy.item()


@pytest.mark.parametrize("kind", ["none", "balanced", "sqrt"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_and_one_hot_votes_have_the_same_cross_entropy(kind: str, smoothing: float) -> None:
    logits, labels = batch()
    criterion = Criterion(LossConfig(class_weights=kind, label_smoothing=smoothing), COUNTS)
    hard = criterion(logits, labels, False).cross_entropy.item()
    soft = criterion(logits, F.one_hot(labels, 3).float(), False).cross_entropy.item()
    assert hard == pytest.approx(soft, rel=1e-6)


def test_soft_labels_are_best_met_by_their_own_distribution() -> None:
    votes = torch.tensor([[0.6, 0.3, 0.1]])
    criterion = Criterion(LossConfig(), COUNTS)
    at_votes = criterion(votes.log(), votes, False).total.item()
    assert at_votes == pytest.approx(-(votes * votes.log()).sum().item(), rel=1e-5)
    for other in ([0.8, 0.1, 0.1], [1 / 3, 1 / 3, 1 / 3]):
        assert criterion(torch.tensor([other]).log(), votes, False).total.item() > at_votes


def test_class_weights_average_to_one_over_the_training_part() -> None:
    for kind in ("balanced", "sqrt"):
        weights = class_weights(kind, COUNTS)
        assert weights is not None
        assert (weights * COUNTS).sum().item() == pytest.approx(100, rel=1e-5)
    assert torch.allclose(class_weights("balanced", COUNTS) * COUNTS, torch.tensor(100 / 3))  # type: ignore[operator]


@pytest.mark.parametrize("sampling", ["balanced", "sqrt", "mild"])
def test_logit_adjustment_takes_back_what_sampling_does_to_the_shares(sampling: str) -> None:
    """A network that knows nothing but how often classes are drawn learns how often they occur."""
    counts = torch.tensor([70.0, 25.0, 5.0])
    drawn = counts ** POWERS[sampling]
    drawn /= drawn.sum()
    logits = torch.zeros(3, requires_grad=True)
    for share, expected in ((1.0, counts / counts.sum()), (0.0, drawn)):
        adjustment = logit_adjustment(share, POWERS[sampling], counts)
        optimizer = torch.optim.LBFGS([logits], max_iter=100)

        def loss(optimizer: Any = optimizer, adjustment: Tensor | None = adjustment) -> Tensor:
            optimizer.zero_grad()
            given = logits if adjustment is None else logits + adjustment
            value = F.cross_entropy(given[None], drawn[None])
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        assert torch.allclose(logits.softmax(0), expected, atol=1e-3)


def test_without_sampling_or_with_an_absent_class_logits_are_adjusted_soundly() -> None:
    assert logit_adjustment(1.0, POWERS["shuffled"], torch.ones(3)) is None
    adjustment = logit_adjustment(0.5, POWERS["sqrt"], torch.tensor([100, 0, 1]))
    assert adjustment is not None
    assert adjustment.isfinite().all()


def test_a_class_absent_from_training_weighs_nothing() -> None:
    weights = class_weights("balanced", torch.tensor([10, 0, 10]))
    assert weights is not None
    assert weights.tolist() == [1.0, 0.0, 1.0]


OWN = (slice(0, 10), slice(10, 16))  # the devices' parts of a batch of 16


def test_two_devices_have_the_loss_and_gradient_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    spawn(_one_device, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    devices = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for mode, active in itertools.product(("intended", "released"), (False, True)):
        whole = _loss_and_gradient(mode, active, slice(0, 16))
        first, second = (found[mode, active] for found in devices)
        gradient = torch.cat([first["gradient"], second["gradient"]]) / 2  # as DDP does it
        assert torch.allclose(gradient, whole["gradient"], atol=1e-7), (mode, active)
        for part in ("total", "rfloss"):
            mean = (10 * first[part] + 6 * second[part]) / 16
            assert mean == pytest.approx(whole[part], rel=1e-5), (mode, active, part)


def _loss_and_gradient(mode: str, active: bool, own: slice) -> dict[str, Any]:
    logits, labels = batch(16)
    mine = logits[own].clone().requires_grad_()
    parts = Criterion(LossConfig(rfloss=mode), COUNTS)(mine, labels[own], active)
    share = len(mine) * 2 / 16 if dist.is_initialized() else 1.0  # as in the trainer
    (parts.total * share).backward()
    return {"gradient": mine.grad, "total": parts.total.item(), "rfloss": parts.rfloss.item()}


def _one_device(rank: int, folder: str) -> None:
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    cases = itertools.product(("intended", "released"), (False, True))
    found = {case: _loss_and_gradient(*case, OWN[rank]) for case in cases}
    if rank == 0:  # in validation, one may have more batches than the other: nobody is waited for
        with torch.no_grad():
            RFLoss("released")(*batch(16))
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("soft", [False, True])
def test_rfloss_of_a_split_is_that_of_one_batch_and_released_is_scaled_to_the_trainings(soft: bool) -> None:
    logits, labels = batch(96)
    shares = torch.softmax(batch(96, seed=1)[0], 1) if soft else F.one_hot(labels, 3).float()
    p = label_probability(logits, shares)
    for mode, scale in (("off", 0.0), ("intended", 1.0), ("released", 32 / 96)):
        rfloss = RFLoss(mode)
        found = rfloss.of_split(p, shares, batch_size=32)
        assert found.item() == pytest.approx(scale * rfloss(logits, shares).item(), rel=1e-5), mode
        again = rfloss.of_split(p.flip(0), shares.flip(0), batch_size=32)
        assert again.item() == pytest.approx(found.item(), rel=1e-5)
