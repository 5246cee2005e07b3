"""The figures of a split, held against their definitions and against torchmetrics."""

from __future__ import annotations

import itertools
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from mmfrm.config import LossConfig
from mmfrm.events import EpochEnd
from mmfrm.loss import Criterion, LossParts, RFLoss
from mmfrm.statistics import SplitStatistics, WholeLoss, calibration_error, wilson

CLASSES = ("neutral", "happiness", "fear", "contempt")  # the last has no sample here
Batch = tuple[Tensor, Tensor, Tensor, LossParts]


def batches(sizes: tuple[int, ...] = (32, 32, 7)) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    result = []
    for size in sizes:
        labels = torch.randint(0, 3, (size,), generator=generator)
        logits = torch.randn(size, 4, generator=generator) + 1.5 * F.one_hot(labels, 4)
        loss = F.cross_entropy(logits, labels)
        alpha = torch.rand(size, 1, generator=generator)
        result.append((logits, labels, alpha, LossParts(0.9 * loss, loss, 0.1 * loss)))
    return result


def collected(some: list[Batch], whole_loss: WholeLoss | None = None) -> SplitStatistics:
    statistics = SplitStatistics(CLASSES, whole_loss=whole_loss)
    for batch in some:
        statistics.update(*batch)
    return statistics


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return collected(batches()).figures()


@pytest.fixture(scope="module")
def everything() -> tuple[Tensor, Tensor]:
    return torch.cat([b[0] for b in batches()]), torch.cat([b[1] for b in batches()])


def test_every_documented_figure_is_there_and_none_besides(figures: dict[str, Any]) -> None:
    documented = (EpochEnd.__doc__ or "").replace("accuracy_low/high", "accuracy_low, accuracy_high")
    for name in figures:
        assert name in documented, name
    for name in figures["classes"][0]:
        assert name in documented, name
    assert len(figures) == 14
    assert len(figures["classes"][0]) == 10


def test_confusion_f1_and_calibration_agree_with_torchmetrics(
    figures: dict[str, Any], everything: tuple[Tensor, Tensor]
) -> None:
    # Imported here: the processes that the last test starts would pay for it too.
    from torchmetrics.functional.classification import (
        multiclass_calibration_error,
        multiclass_confusion_matrix,
        multiclass_f1_score,
    )

    logits, labels = everything
    probabilities = torch.softmax(logits, 1)
    assert figures["confusion"] == multiclass_confusion_matrix(probabilities, labels, 4).tolist()
    f1 = multiclass_f1_score(probabilities, labels, 4, average="none")
    assert [c["f1"] for c in figures["classes"]] == pytest.approx(f1.tolist())
    expected = multiclass_calibration_error(probabilities, labels, 4, n_bins=15).item()
    assert figures["calibration_error"] == pytest.approx(expected, abs=1e-6)


def test_losses_are_means_over_samples_not_over_batches(figures: dict[str, Any]) -> None:
    weights = [len(b[1]) for b in batches()]
    losses = [b[3].cross_entropy.item() for b in batches()]
    mean = sum(w * x for w, x in zip(weights, losses, strict=True)) / sum(weights)
    assert figures["cross_entropy"] == pytest.approx(mean, rel=1e-6)
    assert figures["loss"] == pytest.approx(0.9 * mean, rel=1e-6)
    assert figures["rfloss"] == pytest.approx(0.1 * mean, rel=1e-6)
    assert figures["count"] == sum(weights)


def loss_of_the_whole(mode: str) -> WholeLoss:
    criterion = Criterion(LossConfig(rfloss=mode), torch.ones(4))
    return partial(criterion.of_split, rfloss_active=True, batch_size=71)  # as many as there are


@pytest.mark.parametrize("mode", ["intended", "released"])
@pytest.mark.parametrize("soft", [False, True])
def test_rfloss_can_be_taken_of_the_whole_split_instead_of_its_batches(
    mode: str, soft: bool, figures: dict[str, Any], everything: tuple[Tensor, Tensor]
) -> None:
    def targets(labels: Tensor) -> Tensor:
        return 0.7 * F.one_hot(labels, 4).float() + 0.075 if soft else labels

    some = [(logits, targets(labels), alpha, parts) for logits, labels, alpha, parts in batches()]
    found = collected(some, loss_of_the_whole(mode)).figures()
    logits, labels = everything
    rfloss = RFLoss(mode)(logits, targets(labels)).item()
    assert found["rfloss"] == pytest.approx(rfloss, rel=1e-5)
    assert found["loss"] == pytest.approx(0.9 * figures["cross_entropy"] + 0.2 * rfloss, rel=1e-5)
    same = figures.keys() - {"loss", "rfloss"}
    assert {name: found[name] for name in same} == {name: figures[name] for name in same}


def test_the_spread_of_p_true_is_taken_about_the_mean_of_the_class_over_the_whole_split(
    figures: dict[str, Any], everything: tuple[Tensor, Tensor]
) -> None:
    logits, labels = everything
    for k, row in enumerate(figures["classes"][:3]):
        p = torch.softmax(logits, 1)[labels == k, k].double()
        assert row["p_true_mean"] == pytest.approx(p.mean().item())
        assert row["p_true_variance"] == pytest.approx(((p - p.mean()) ** 2).mean().item())
        assert row["p_true_mad"] == pytest.approx((p - p.mean()).abs().mean().item())


def test_a_class_without_samples_has_no_spread_and_does_not_lower_the_means(figures: dict[str, Any]) -> None:
    absent = figures["classes"][3]
    assert absent["count"] == 0
    assert absent["p_true_mean"] is None
    assert (absent["recall_low"], absent["recall_high"]) == (0.0, 1.0)
    recalls = [c["recall"] for c in figures["classes"][:3]]
    assert figures["mean_class_accuracy"] == pytest.approx(sum(recalls) / 3)


def test_alpha_is_summed_up_by_mean_and_deviation(figures: dict[str, Any]) -> None:
    alphas = torch.cat([b[2] for b in batches()])
    assert figures["alpha_mean"] == pytest.approx(alphas.mean().item(), rel=1e-5)
    assert figures["alpha_std"] == pytest.approx(alphas.std(correction=0).item(), rel=1e-5)


def test_votes_count_for_the_class_with_the_largest_share() -> None:
    hard = collected(batches())
    soft = SplitStatistics(CLASSES)
    for logits, labels, alpha, parts in batches():
        soft.update(logits, 0.7 * F.one_hot(labels, 4).float() + 0.075, alpha, parts)
    assert soft.figures() == hard.figures()


def test_wilson_intervals_are_the_textbook_ones() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_perfect_confidence_that_is_always_right_has_no_calibration_error() -> None:
    assert calibration_error(torch.ones(10), torch.ones(10, dtype=torch.bool)) == 0.0
    assert calibration_error(torch.ones(10), torch.zeros(10, dtype=torch.bool)) == 1.0


def test_a_pass_goes_on_from_its_state_as_if_never_interrupted() -> None:
    for cut in range(4):
        first = collected(batches()[:cut])
        second = SplitStatistics(CLASSES)
        second.load_state(first.state())
        for batch in batches()[cut:]:
            second.update(*batch)
        assert second.figures() == collected(batches()).figures()


def test_without_a_batch_there_are_no_figures() -> None:
    with pytest.raises(ValueError, match="no batch was seen"):
        SplitStatistics(CLASSES).figures()


def test_processes_that_saw_unequal_shares_agree_on_the_figures_of_the_whole(tmp_path: Path) -> None:
    spawn(_one_process, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    whole = collected(batches(), loss_of_the_whole("released")).figures()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found["confusion"] == whole["confusion"]
        for ours, theirs in zip(found["classes"], whole["classes"], strict=True):
            assert ours == pytest.approx(theirs)  # sums in another order
        for name in ("loss", "cross_entropy", "rfloss"):
            assert found[name] == pytest.approx(whole[name], rel=1e-6), name
        assert found["calibration_error"] == pytest.approx(whole["calibration_error"])


def _one_process(rank: int, folder: str) -> None:
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    mine = list(itertools.islice(batches(), rank, None, 2))  # 39 samples and 32
    statistics = collected(mine, loss_of_the_whole("released"))
    statistics.gather()
    torch.save(statistics.figures(), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
