"""The family of networks that a config chooses from, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mmfrm.config import NetworkConfig
from mmfrm.nn import MMFRM, FaceNetwork, MobileFaceNet, build_network
from mmfrm.nn import landmark_weights as weights_file
from mmfrm.nn.landmark_weights import InputConvention, Normalise, save_landmark_weights
from mmfrm.released import CheckpointError
from mmfrm.schema import ConfigError

BGR = InputConvention(order=(2, 1, 0), mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0))


def faces(batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 3, 112, 112), generator=generator, dtype=torch.uint8)


def small(**changes: Any) -> NetworkConfig:
    return NetworkConfig(**{"size": "small", "width": 0.25, "landmarks": "scratch", **changes})


@pytest.fixture
def landmark_file(tmp_path: Path) -> Path:
    """Landmark weights as our trainer writes them, with norm statistics that are not the initial ones."""
    torch.manual_seed(1)
    network = MobileFaceNet(outputs=136, classes=0)
    network(torch.randn(8, 3, 112, 112))
    path = tmp_path / "landmarks.safetensors"
    save_landmark_weights(path, network.state_dict(), BGR, {"seed": 1})
    return path


@pytest.mark.parametrize("classes", [2, 7, 64])
@pytest.mark.parametrize("fusion", ["tcffm", "concat", "none"])
def test_every_fusion_answers_for_any_number_of_classes(fusion: str, classes: int) -> None:
    alpha, logits = FaceNetwork(small(fusion=fusion), classes).eval()(faces())
    assert alpha.shape == (2, 1)
    assert logits.shape == (2, classes)
    assert ((alpha > 0) & (alpha < 1)).all()


@pytest.mark.parametrize("fusion", ["tcffm", "concat", "none"])
@pytest.mark.parametrize("landmarks", ["frozen", "scratch"])
@pytest.mark.parametrize("stem_norm", [False, True])
def test_every_trainable_parameter_gets_a_gradient_so_ddp_finds_none_unused(
    fusion: str, landmarks: str, stem_norm: bool
) -> None:
    network = FaceNetwork(small(fusion=fusion, landmarks=landmarks, stem_norm=stem_norm), 3)
    network(faces())[1].sum().backward()
    unused = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []


@pytest.mark.parametrize(
    ("fusion", "landmarks"),
    [("tcffm", "frozen"), ("tcffm", "finetune"), ("concat", "frozen"), ("none", "frozen")],
)
def test_half_the_side_sees_means_of_four_pixels_at_a_third_of_the_cost_or_less(
    fusion: str, landmarks: str
) -> None:
    config = small(fusion=fusion, landmarks=landmarks)
    whole, half = (FaceNetwork(replace(config, half_side=h), 3).eval() for h in (False, True))
    half.load_state_dict(whole.state_dict())  # nothing of it depends on the side
    pixels = faces()
    answer = half(pixels)[1]
    assert answer.shape == (2, 3)
    assert not torch.allclose(answer, whole(pixels)[1])
    means = pixels.float().view(2, 3, 56, 2, 56, 2).mean((3, 5))
    blurred = means.repeat_interleave(2, 2).repeat_interleave(2, 3)
    sees_all = fusion != "none" and landmarks == "frozen"  # the frozen landmark network does
    if not sees_all:
        assert torch.allclose(half(blurred)[1], answer, atol=1e-6)
    flops = [
        flops_of(network) - (flops_of(network.landmark_features) if sees_all else 0)
        for network in (half, whole)
    ]
    assert flops[0] < flops[1] / 3
    assert half(pixels, 96)[1].shape == (2, 3)  # images that grow do so at half the side, too


def flops_of(call: Callable[[Tensor], object]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call(faces())
    return int(counter.get_total_flops())


@pytest.mark.parametrize("classes", [1, 65])
def test_a_number_of_classes_out_of_range_is_refused(classes: int) -> None:
    with pytest.raises(ConfigError, match="is not between 2 and 64"):
        FaceNetwork(small(), classes)


def test_the_published_size_is_the_published_network() -> None:
    network = FaceNetwork(NetworkConfig(landmarks="scratch"), 7)
    assert network.expression.state_dict().keys() == MMFRM().state_dict().keys()
    assert sum(p.numel() for p in network.expression.parameters()) == 33_986_819


def test_small_costs_at_most_a_quarter_and_is_no_uniform_shrink() -> None:
    paper = FaceNetwork(NetworkConfig(landmarks="scratch"), 7).expression
    little = FaceNetwork(NetworkConfig(landmarks="scratch", size="small"), 7).expression
    assert multiplications(little) < 0.25 * multiplications(paper)
    channels = {name: p.shape[0] for name, p in little.named_parameters()}
    shares = {channels[name] / p.shape[0] for name, p in paper.named_parameters() if name in channels}
    assert len(shares) > 1


def multiplications(network: MMFRM) -> int:
    """Of all convolutions, for one face."""
    total = 0

    def count(module: Any, _inputs: Any, output: Tensor) -> None:
        nonlocal total
        total += module.weight[0].numel() * output[0].numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(
            torch.zeros(1, 3, 112, 112),
            torch.zeros(1, 64, 28, 28),
            torch.zeros(1, 128, 14, 14),
            torch.zeros(1, 512, 7, 7),
        )
    return total


def test_alpha_starts_near_the_sigmoid_of_its_setting() -> None:
    torch.manual_seed(0)
    network = FaceNetwork(small(alpha_start=2.0, fusion="none"), 3).eval()
    gate = network.expression.alpha[0]
    assert isinstance(gate, torch.nn.Linear)
    assert gate.bias.item() == 2.0
    assert network(faces(8))[0].mean().item() == pytest.approx(0.88, abs=0.1)


def test_the_stem_norm_is_applied_only_when_asked_for() -> None:
    applied = FaceNetwork(small(stem_norm=True), 3).expression
    declared = FaceNetwork(small(), 3).expression
    before = declared.bn1.running_mean.clone()  # type: ignore[union-attr]
    for network in (applied, declared):
        network(torch.randn(2, 3, 112, 112), *features())
    assert torch.equal(declared.bn1.running_mean, before)  # type: ignore[arg-type]
    assert not torch.equal(applied.bn1.running_mean, before)  # type: ignore[arg-type]


def features() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(2, 64, 28, 28), torch.randn(2, 128, 14, 14), torch.randn(2, 512, 7, 7)


def test_floats_and_bytes_are_answered_alike() -> None:
    network = FaceNetwork(small(), 3).eval()
    assert torch.equal(network(faces())[1], network(faces().float())[1])


def test_a_frozen_landmark_network_stays_in_eval_mode_and_without_gradient(landmark_file: Path) -> None:
    network = build_network(small(landmarks="frozen", landmark_weights=str(landmark_file)), 3)
    assert network.landmarks is not None
    before = {name: value.clone() for name, value in network.landmarks.state_dict().items()}
    network.train()
    assert not any(module.training for module in network.landmarks.modules())
    features = network.landmark_features(faces())
    assert not any(f.requires_grad for f in features if f is not None)
    network(faces())[1].sum().backward()
    assert all(p.grad is None for p in network.landmarks.parameters())
    for name, value in network.landmarks.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_batch_of_one_can_be_answered_and_does_not_depend_on_its_mates(landmark_file: Path) -> None:
    network = build_network(small(landmarks="frozen", landmark_weights=str(landmark_file)), 3).eval()
    alone, together = network(faces()[:1])[1], network(faces())[1]
    assert torch.allclose(alone[0], together[0], atol=1e-5)


def test_finetuning_starts_from_the_pretrained_weights_and_moves_them(landmark_file: Path) -> None:
    frozen = build_network(small(landmarks="frozen", landmark_weights=str(landmark_file)), 3)
    tuned = build_network(small(landmarks="finetune", landmark_weights=str(landmark_file)), 3)
    assert frozen.landmarks is not None
    assert tuned.landmarks is not None
    for name, value in tuned.landmarks.state_dict().items():
        assert torch.equal(value, frozen.landmarks.state_dict()[name])
    tuned.train()(faces())[1].sum().backward()
    assert all(p.grad is not None for p in tuned.landmarks.parameters())


def test_what_the_landmark_network_expects_comes_with_its_weights(landmark_file: Path) -> None:
    network = build_network(small(landmarks="frozen", landmark_weights=str(landmark_file)), 3)
    assert network.landmarks is not None
    bgr = (faces().float().flip(1) - 127.5) / 128
    expected = network.landmarks.features(bgr)
    found = network.landmark_features(faces())
    for ours, theirs in zip(found, expected, strict=True):
        assert ours is not None
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_input_convention_is_part_of_the_state_dict() -> None:
    network = FaceNetwork(small(), 3, BGR)
    other = FaceNetwork(small(), 3)
    other.load_state_dict(network.state_dict())
    assert isinstance(other.landmark_input, Normalise)
    assert other.landmark_input.order.tolist() == [2, 1, 0]


def test_missing_shipped_weights_are_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(weights_file, "SHIPPED", tmp_path / "landmarks.safetensors")
    with pytest.raises(CheckpointError, match=r"no landmark weights.*landmarks = scratch"):
        build_network(small(landmarks="frozen"), 3)


def test_a_wrong_path_of_landmark_weights_is_named_with_a_remedy(tmp_path: Path) -> None:
    missing = tmp_path / "gone.safetensors"
    with pytest.raises(CheckpointError, match=r"gone\.safetensors.*mmfrm landmarks"):
        build_network(small(landmarks="finetune", landmark_weights=str(missing)), 3)


def test_scratch_and_no_fusion_need_no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights_file, "SHIPPED", tmp_path / "landmarks.safetensors")
    assert build_network(small(landmarks="scratch"), 3).landmarks is not None
    assert build_network(small(landmarks="frozen", fusion="none"), 3).landmarks is None


def test_a_torn_landmark_file_is_named(landmark_file: Path) -> None:
    landmark_file.write_bytes(landmark_file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"landmarks\.safetensors is torn"):
        build_network(small(landmarks="frozen", landmark_weights=str(landmark_file)), 3)


def test_a_safetensors_file_without_an_input_convention_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"conv1.conv.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(CheckpointError, match="does not say what its network expects"):
        build_network(small(landmarks="frozen", landmark_weights=str(path)), 3)


def test_a_released_checkpoint_serves_as_landmark_weights_in_the_released_convention(tmp_path: Path) -> None:
    released = MobileFaceNet(outputs=136, classes=0)
    path = tmp_path / "mobilefacenet.pth"
    state = {f"module.{name}": value for name, value in released.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, path)
    network = build_network(small(landmarks="frozen", landmark_weights=str(path)), 3)
    assert network.landmarks is not None
    for name, value in network.landmarks.state_dict().items():
        assert torch.equal(value, released.state_dict()[name])
    assert network.landmark_input is not None
    assert network.landmark_input.order.tolist() == [0, 1, 2]


def test_incomplete_landmark_weights_are_refused_and_named(tmp_path: Path) -> None:
    state = MobileFaceNet(outputs=136, classes=0).state_dict()
    del state["conv_5.model.1.project.conv.weight"]
    path = tmp_path / "part.pth"
    torch.save(dict(state), path)
    with pytest.raises(CheckpointError, match=r"incomplete.*conv_5\.model\.1\.project\.conv\.weight"):
        build_network(small(landmarks="frozen", landmark_weights=str(path)), 3)


def test_the_width_multiplies_every_channel_count() -> None:
    half = FaceNetwork(NetworkConfig(landmarks="scratch", width=0.5), 7).expression
    assert half.conv1.weight.shape[0] == 32
    assert half.fc.in_features == 256
    assert half.state_dict()["reduce3.0.weight"].shape[:2] == (256, 512)
