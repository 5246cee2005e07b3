"""Frozen landmark features by OpenVINO are torch's, made once a machine, and torch's where it refuses."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmfrm.config import NetworkConfig
from mmfrm.engines import EngineError, frozen
from mmfrm.nn import FaceNetwork, build_network
from mmfrm.runtime import Runtime

CPU = Runtime(device=torch.device("cpu"), precision="fp32", threads=1)
NETWORK = NetworkConfig(size="small", width=0.25)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("MMFRM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def network() -> FaceNetwork:
    """With the landmark network that ships."""
    made = build_network(NETWORK, 7)
    CPU.place(made)
    return made


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randint(0, 256, (5, 3, 112, 112), generator=torch.Generator().manual_seed(0)).float()


def of_torch(network: FaceNetwork, pixels: Tensor) -> tuple[Tensor | None, ...]:
    network.quick_landmarks = None
    return network.landmark_features(pixels)


def test_they_are_torchs_for_batches_of_any_length(network: FaceNetwork, pixels: Tensor) -> None:
    frozen.place(network, CPU)
    assert network.quick_landmarks is not None
    quick = [network.quick_landmarks(batch) for batch in (pixels, pixels[:2])]
    slow = [of_torch(network, batch) for batch in (pixels, pixels[:2])]
    for answers, expected in zip(quick, slow, strict=True):
        assert answers is not None
        for answer, y in zip(answers, expected, strict=True):
            assert y is not None
            assert answer.is_contiguous(memory_format=torch.channels_last)
            assert not answer.requires_grad
            torch.testing.assert_close(answer, y, rtol=0, atol=1e-5 * float(y.abs().max()))


def test_a_copy_of_the_network_shares_them(network: FaceNetwork) -> None:
    frozen.place(network, CPU)
    assert copy.deepcopy(network).quick_landmarks is network.quick_landmarks


def test_they_are_converted_once(
    network: FaceNetwork, pixels: Tensor, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen.place(network, CPU)
    first = network.landmark_features(pixels)
    monkeypatch.delattr(frozen, "converted")
    again = build_network(NETWORK, 7)
    frozen.place(again, CPU)
    for one, other in zip(first, again.landmark_features(pixels), strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)
    assert [path.name for path in (cache / "landmarks").glob("*/*.xml")] == ["model.xml"]


def test_other_weights_are_converted_anew(network: FaceNetwork, pixels: Tensor) -> None:
    frozen.place(network, CPU)
    before = network.landmark_features(pixels)[0]
    other = build_network(replace(NETWORK, landmarks="scratch"), 7)
    other.landmarks_are_frozen = True
    other.eval()
    frozen.place(other, CPU)
    after = other.landmark_features(pixels)[0]
    assert before is not None
    assert after is not None
    assert not torch.allclose(before, after)
    expected = of_torch(other, pixels)[0]
    assert expected is not None
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_where_openvino_refuses_torch_answers(
    network: FaceNetwork, pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise EngineError("OpenVINO is not installed")

    monkeypatch.setattr(frozen, "core", refuse)
    frozen.place(network, CPU)
    found = network.landmark_features(pixels)
    for answer, y in zip(found, of_torch(network, pixels), strict=True):
        assert answer is not None
        assert y is not None
        assert torch.equal(answer, y)


def test_a_cache_that_may_not_be_written_is_done_without(
    network: FaceNetwork, pixels: Tensor, cache: Path
) -> None:
    cache.write_text("not a folder")
    frozen.place(network, CPU)
    assert network.quick_landmarks is not None
    assert network.quick_landmarks(pixels) is not None


@pytest.mark.parametrize("config", [NetworkConfig(fusion="none"), NetworkConfig(landmarks="finetune")])
def test_only_frozen_landmarks_are_quickened(config: NetworkConfig) -> None:
    network = build_network(replace(config, size="small", width=0.25), 7)
    frozen.place(network, CPU)
    assert network.quick_landmarks is None
