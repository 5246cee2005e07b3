"""The released program's answers, given exact weights, are our answers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmfrm.nn import MMFRM, MobileFaceNet

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference vectors are absent (../shared)")
STRIDES = {56: 8, 28: 4, 14: 2, 7: 1}  # how golden.npz sub-samples a map of that side


def reference_program() -> Any:
    spec = importlib.util.spec_from_file_location("reference_fill", REFERENCE / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled(name: str) -> dict[str, Tensor]:
    """The reference values of every entry of a released state dict."""
    fill = reference_program().fill
    entries = json.loads((REFERENCE / "layout.json").read_text())[name]
    return {
        key: torch.tensor(0) if dtype == "int64" else torch.from_numpy(fill(shape, position, key))
        for position, (key, shape, dtype) in enumerate(entries)
    }


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray[Any, Any]]:
    with np.load(REFERENCE / "golden.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def answers() -> dict[str, Tensor]:
    """Everything both networks say about the reference images, under the names of golden.npz."""
    landmark, expression = MobileFaceNet().eval(), MMFRM().eval()
    landmark.load_state_dict(filled("mobilefacenet"))
    expression.load_state_dict(filled("mmfrm"))
    seen: dict[str, Tensor] = {}
    for name, module in expression.named_children():
        module.register_forward_hook(keep(seen, f"inner_{name}"))
    x = torch.from_numpy(reference_program().images(2))
    with torch.no_grad():
        feature1, feature2, feature3, *_ = landmark(x)
        alpha, logits = expression(x, feature1, feature2, feature3)
    return seen | {
        "feature1": feature1,
        "feature2": feature2,
        "feature3": feature3,
        "alpha": alpha,
        "logits": logits,
    }


def keep(seen: dict[str, Tensor], name: str) -> Any:
    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen[name] = output

    return hook


def sampled(name: str, value: Tensor) -> Tensor:
    if name == "feature1":
        return value[:, ::8, ::4, ::4]
    if name == "feature2":
        return value[:, ::8, ::2, ::2]
    if name == "feature3":
        return value[:, ::16]
    if name.startswith("inner_"):
        stride = STRIDES[value.shape[-1]]
        return value[:, ::16, ::stride, ::stride]
    return value


@pytest.mark.parametrize("name", ["mmfrm", "mobilefacenet"])
def test_every_entry_of_the_released_state_dict_has_its_place_and_order(name: str) -> None:
    module = MMFRM() if name == "mmfrm" else MobileFaceNet()
    ours = [[k, list(v.shape), str(v.dtype).removeprefix("torch.")] for k, v in module.state_dict().items()]
    assert ours == json.loads((REFERENCE / "layout.json").read_text())[name]


def test_every_golden_activation_is_reproduced(
    answers: dict[str, Tensor], golden: dict[str, np.ndarray[Any, Any]]
) -> None:
    compared = [name for name in golden if not name.startswith("released_") and name != "feature_shapes"]
    assert len(compared) == 13
    for name in compared:
        ours, theirs = sampled(name, answers[name]).numpy(), golden[name]
        assert ours.shape == theirs.shape, name
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max(), name


def test_the_three_features_have_the_released_shapes(
    answers: dict[str, Tensor], golden: dict[str, np.ndarray[Any, Any]]
) -> None:
    shapes = [list(answers[f"feature{i}"].shape) for i in (1, 2, 3)]
    assert shapes == golden["feature_shapes"].tolist()
