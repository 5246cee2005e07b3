"""A model says how sure it is allowed to be."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from mmfrm.calibration import HIGHEST, LOWEST, Answers, fit_temperature
from mmfrm.card import temperature_of
from mmfrm.loss import LossParts
from mmfrm.statistics import SplitStatistics


def answers_of_known_sharpness(count: int, factor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `factor` times as large as the truth of their labels."""
    generator = torch.Generator().manual_seed(0)
    true = 2 * torch.randn(count, 5, generator=generator)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator).squeeze(1)
    return factor * true, labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_known_sharpness(factor: float) -> None:
    logits, labels = answers_of_known_sharpness(20_000, factor)
    assert fit_temperature(logits, labels) == pytest.approx(factor, rel=0.05)


def test_no_other_temperature_has_a_lower_cross_entropy() -> None:
    logits, labels = answers_of_known_sharpness(500, 2.0)
    best = fit_temperature(logits, labels)
    losses = [float(cross_entropy(logits / (best * change), labels)) for change in (0.98, 1.0, 1.02)]
    assert losses[1] == min(losses)


def test_shares_of_votes_are_targets_too() -> None:
    logits, _ = answers_of_known_sharpness(500, 1.0)
    assert fit_temperature(4 * logits, logits.softmax(1)) == pytest.approx(4.0, rel=1e-4)


def test_answers_that_are_all_right_or_all_wrong_end_at_the_bounds() -> None:
    logits = torch.eye(3)
    assert fit_temperature(logits, torch.arange(3)) == pytest.approx(LOWEST, rel=1e-6)
    assert fit_temperature(logits, (torch.arange(3) + 1) % 3) == pytest.approx(HIGHEST, rel=1e-6)


def test_a_pass_over_a_split_in_batches_gives_the_same_temperature_and_less_calibration_error() -> None:
    logits, labels = answers_of_known_sharpness(2000, 3.0)
    parts = LossParts(*torch.zeros(3))
    answers = Answers()
    for some in torch.split(torch.arange(2000), 300):
        answers.update(logits[some], labels[some], torch.ones(len(some), 1), parts)
    answers.gather()
    temperature = answers.temperature()
    assert temperature == fit_temperature(logits, labels)
    statistics = SplitStatistics([*"abcde"], temperature)
    statistics.update(logits, labels, torch.ones(2000, 1), parts)
    figures = statistics.figures()
    assert figures["temperature"] == temperature
    assert figures["calibration_error_tempered"] < 0.03
    assert figures["calibration_error"] > 0.15


@pytest.mark.parametrize("value", [None, "hot", -1, 0, float("inf"), float("nan")])
def test_an_impossible_temperature_counts_as_none(value: object) -> None:
    assert temperature_of({"temperature": value}) is None
    assert temperature_of({}) is None
