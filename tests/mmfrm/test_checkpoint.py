"""Files of weights: the released program's, other people's, and our model folders."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmfrm.checkpoint import CheckpointError, load_model, load_released, read_released, save_model
from mmfrm.config import NetworkConfig
from mmfrm.nn import MMFRM, FaceNetwork, MobileFaceNet

CLASSES = ("surprise", "fear", "happiness")
CONFIG = NetworkConfig(size="small", width=0.25, landmarks="scratch", alpha_start=2.0)


@pytest.fixture(scope="module")
def landmark_network() -> MobileFaceNet:
    """A 68-point network with norm statistics of its own, in eval mode."""
    torch.manual_seed(0)
    network = MobileFaceNet(outputs=136, classes=0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, 0.0, 0.2)
            nn.init.normal_(module.running_mean, 0.0, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network.eval()


def folded(network: MobileFaceNet) -> dict[str, Tensor]:
    """The same network with each norm folded into the layer before it, as deployment tools save it."""
    state = dict(network.state_dict())
    for name in [n for n in state if n.endswith(".running_var")]:
        norm = name.removesuffix(".running_var")
        layer = norm.removesuffix("bn") + ("linear" if norm == "output_layer.bn" else "conv")
        scale = state[f"{norm}.weight"] / (state[name] + 1e-5).sqrt()
        weight = state[f"{layer}.weight"]
        state[f"{layer}.weight"] = weight * scale.view(-1, *[1] * (weight.ndim - 1))
        state[f"{layer}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            del state[f"{norm}.{leaf}"]
    return state


def test_the_released_mmfrm_state_dict_is_taken_whole() -> None:
    source, target = MMFRM(), MMFRM()
    loaded = load_released(target, source.state_dict())
    assert loaded.left == ()
    assert loaded.missing == ()
    assert loaded.message == "219 entries taken, none left"
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in source.state_dict().items())


def test_a_landmark_checkpoint_leaves_only_its_head_to_the_released_class(
    landmark_network: MobileFaceNet,
) -> None:
    loaded = load_released(MobileFaceNet(), landmark_network.state_dict())
    assert set(loaded.left) == {
        "output_layer.linear.weight", "output_layer.bn.weight", "output_layer.bn.bias",
        "output_layer.bn.running_mean", "output_layer.bn.running_var",
    }  # fmt: skip
    assert "left (output_layer.linear.weight" in loaded.message
    assert "alpha.0.weight" in loaded.missing


@pytest.mark.parametrize("outputs", [136, 0])
def test_folded_norms_answer_as_the_plain_checkpoint_does(
    landmark_network: MobileFaceNet, outputs: int
) -> None:
    state = folded(landmark_network)
    target = MobileFaceNet(outputs=outputs, classes=0).eval()
    loaded = load_released(target, state)
    assert loaded.missing == ()
    assert all(name.startswith("output_layer.") for name in loaded.left)
    assert len(loaded.left) == (0 if outputs else 4)
    x = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        pairs = list(zip(target(x), landmark_network(x), strict=False))
    for ours, theirs in pairs:
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize("nest", ["state_dict", "model", None])
def test_nests_and_data_parallel_prefixes_are_seen_through(nest: str | None, tmp_path: Path) -> None:
    source = MobileFaceNet(outputs=136, classes=0)
    state = {f"module.{name}": value for name, value in source.state_dict().items()}
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 7, nest: state} if nest else state, path)
    loaded = load_released(MobileFaceNet(outputs=136, classes=0), read_released(path))
    assert loaded.left == ()
    assert loaded.missing == ()


def test_a_checkpoint_of_another_network_is_refused_and_changes_nothing() -> None:
    target = MobileFaceNet()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"None of the 2 entries fits MobileFaceNet.*backbone"):
        load_released(target, {"backbone.weight": torch.zeros(3), "backbone.bias": torch.zeros(3)})
    assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())


def test_a_file_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    trap, sign = tmp_path / "trap.pth", tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(sign),)

    torch.save({"state_dict": Trap()}, trap)
    with pytest.raises(CheckpointError, match="would run code"):
        read_released(trap)
    assert not sign.exists()


def test_torn_foreign_and_missing_files_are_named(tmp_path: Path) -> None:
    torn, foreign, number = tmp_path / "torn.pth", tmp_path / "foreign.pth", tmp_path / "number.pth"
    torch.save(MMFRM(3).fc.state_dict(), torn)
    torn.write_bytes(torn.read_bytes()[:-200])
    foreign.write_bytes(pickle.dumps([1, 2], protocol=2))
    torch.save(torch.zeros(1), number)
    for path, text in (
        (torn, "torn"),
        (foreign, "not a torch file"),
        (number, "Tensor, not a state dict"),
    ):
        with pytest.raises(CheckpointError, match=f"{path.name}.*{text}"):
            read_released(path)
    with pytest.raises(CheckpointError, match=r"gone\.pth is not there"):
        read_released(tmp_path / "gone.pth")


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = FaceNetwork(CONFIG, len(CLASSES)).eval()
    save_model(tmp_path / "model", network, classes=CLASSES, config=CONFIG, card={"note": "for tests"})
    return tmp_path / "model"


def test_a_model_folder_answers_as_the_network_that_was_saved(tmp_path: Path) -> None:
    network = FaceNetwork(CONFIG, len(CLASSES)).eval()
    save_model(tmp_path, network, classes=CLASSES, config=CONFIG, card={"accuracy": 0.5})
    model = load_model(tmp_path)
    x = torch.randint(0, 256, (2, 3, 112, 112), dtype=torch.uint8)
    assert torch.equal(model.network(x)[1], network(x)[1])
    assert not model.network.training
    assert (model.classes, model.config, model.card) == (CLASSES, CONFIG, {"accuracy": 0.5})


def test_a_model_folder_holds_two_files_and_no_leftovers(model_folder: Path) -> None:
    assert sorted(p.name for p in model_folder.iterdir()) == ["model.json", "model.safetensors"]
    assert json.loads((model_folder / "model.json").read_text())["versions"]["torch"]


def test_weights_that_are_not_those_of_the_description_are_noticed(model_folder: Path) -> None:
    path = model_folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is torn"):
        load_model(model_folder)


def test_what_is_missing_from_a_model_folder_is_named(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a model folder"):
        load_model(tmp_path)
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        load_model(model_folder)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "cannot be read"),
        ("[]", "has format None"),
        ('{"format": 99}', "has format 99"),
        ('{"format": 1, "network": {"size": "huge"}, "classes": ["a", "b"]}', "does not describe"),
        ('{"format": 1, "network": {}}', "does not describe"),
        ('{"format": 1, "network": {}, "classes": ["only one"]}', "does not describe"),
    ],
)
def test_a_foreign_description_is_named(model_folder: Path, text: str, problem: str) -> None:
    (model_folder / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match=rf"model\.json {problem}"):
        load_model(model_folder)


def test_a_description_of_another_network_than_the_weights_is_noticed(model_folder: Path) -> None:
    path = model_folder / "model.json"
    content = json.loads(path.read_text())
    content["network"]["fusion"] = "concat"
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="does not fit the network"):
        load_model(model_folder)


def test_channels_last_weights_are_saved_and_come_back(tmp_path: Path) -> None:
    network = FaceNetwork(CONFIG, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_model(tmp_path, network, classes=CLASSES, config=CONFIG, card={})
    weight = load_model(tmp_path).network.expression.conv1.weight
    assert torch.equal(weight, network.expression.conv1.weight)
