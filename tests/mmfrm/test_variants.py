"""Models made of others without learning anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmfrm.checkpoint import load_model
from mmfrm.failures import JobError
from mmfrm.variants import halve, leave_out
from tests.mmfrm.models import CLASSES, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "model", fusion="tcffm")


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 112, 112), generator=generator, dtype=torch.uint8)


def answers(folder: Path, faces: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = load_model(folder).network(faces)[1]
    return logits


def test_a_class_left_out_leaves_the_others_in_their_proportions(
    tmp_path: Path, model: Path, faces: torch.Tensor
) -> None:
    assert leave_out(model, tmp_path, ["surprise"]) == ("neutral", "happiness", "=anger")
    before, after = answers(model, faces).softmax(1), answers(tmp_path, faces).softmax(1)
    kept = before[:, [0, 1, 3]]
    assert torch.allclose(after, kept / kept.sum(1, keepdim=True), atol=1e-4)
    assert load_model(tmp_path).classes == ("neutral", "happiness", "=anger")


def test_half_the_size_answers_nearly_the_same(tmp_path: Path, model: Path, faces: torch.Tensor) -> None:
    halve(model, tmp_path)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (tmp_path, model)]
    assert sizes[0] < 0.6 * sizes[1]
    assert torch.allclose(answers(tmp_path, faces).softmax(1), answers(model, faces).softmax(1), atol=0.01)


@pytest.mark.parametrize("names", [["joy"], list(CLASSES[1:])])
def test_what_cannot_be_left_out_is_refused(tmp_path: Path, model: Path, names: list[str]) -> None:
    with pytest.raises(JobError, match="Its classes: neutral, happiness"):
        leave_out(model, tmp_path / "none", names)
    assert not (tmp_path / "none").exists()
