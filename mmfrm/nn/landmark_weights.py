"""Weights of the landmark network, and what they expect of their input."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mmfrm.released import CheckpointError, load_released, read_released
from mmfrm.weight_files import saving

SHIPPED = Path(__file__).resolve().parents[1] / "weights" / "landmarks.safetensors"
IMAGENET_MEAN = (123.675, 116.28, 103.53)  # of RGB 0…255
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, kw_only=True)
class InputConvention:
    """What a network expects: channels in `order` (of RGB), then (value − mean) / std of values 0…255."""

    order: tuple[int, int, int] = (0, 1, 2)  # (2, 1, 0) is BGR
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of the channels in that order
    std: tuple[float, float, float] = IMAGENET_STD


# The released program feeds the landmark network the very tensor that the expression network gets.
RELEASED_CONVENTION = InputConvention()


class Normalise(nn.Module):
    """RGB 0…255 to what a network expects. The convention is buffers, so it travels with the weights."""

    order: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, convention: InputConvention) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor(convention.order))
        self.register_buffer("mean", torch.tensor(convention.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(convention.std).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> Tensor:
        # (B, 3, H, W) uint8 or float 0…255 -> the same shape, in the precision of the weights
        return (rgb.index_select(1, self.order).to(self.mean.dtype) - self.mean) / self.std


@dataclass(frozen=True, kw_only=True)
class LandmarkWeights:
    """State dict of a MobileFaceNet, its input convention, and what its file says about itself."""

    state: dict[str, Tensor]
    convention: InputConvention
    facts: dict[str, Any]


def save_landmark_weights(
    path: Path, state: dict[str, Tensor], convention: InputConvention, facts: dict[str, Any]
) -> None:
    """Write half-precision safetensors, whole or not at all; convention and facts go into its metadata."""
    halves = {k: (v.half() if v.is_floating_point() else v).contiguous().cpu() for k, v in state.items()}
    metadata = {"convention": json.dumps(asdict(convention)), "facts": json.dumps(facts)}
    part = path.with_name(path.name + ".part")
    with saving(part):
        save_file(halves, part, metadata=metadata)
    part.replace(path)


def read_landmark_weights(source: str | Path = "shipped") -> LandmarkWeights:
    """Weights by 'shipped' or by path: our safetensors, or a .pth as released.

    A .pth says nothing about its input, so the released convention is taken (RGB, ImageNet's mean and
    deviation). Raises CheckpointError with the remedy where there is no such file, or it is torn or foreign.
    """
    path = SHIPPED if str(source) == "shipped" else Path(source)
    if not path.is_file():
        raise CheckpointError(_missing(path))
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return LandmarkWeights(
        state=read_released(path), convention=RELEASED_CONVENTION, facts={"file": path.name}
    )


def _missing(path: Path) -> str:
    remedy = (
        "Train them (`python -m mmfrm landmarks --help`) and name the file in network.landmark_weights, "
        "or choose network.landmarks = scratch to train the landmark network from random weights along "
        "with the rest, or network.fusion = none to do without."
    )
    if path == SHIPPED:
        return f"This installation has no landmark weights (mmfrm/weights/{path.name} is missing). {remedy}"
    return f"There are no landmark weights at {path}. {remedy}"


def _read_safetensors(path: Path) -> LandmarkWeights:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is torn or is not a safetensors file ({error}).") from error
    if "convention" not in metadata:
        raise CheckpointError(
            f"{path} does not say what its network expects of the input, so it is not a file of landmark "
            "weights written by `python -m mmfrm landmarks`."
        )
    given = json.loads(metadata["convention"])
    convention = InputConvention(**{name: tuple(values) for name, values in given.items()})
    return LandmarkWeights(state=state, convention=convention, facts=json.loads(metadata.get("facts", "{}")))


def load_landmark_weights(network: nn.Module, weights: LandmarkWeights, source: str | Path) -> None:
    """Put weights into a MobileFaceNet. Raises CheckpointError unless every part of it gets its own."""
    loaded = load_released(network, weights.state)
    if loaded.missing:
        raise CheckpointError(f"Landmark weights {source} are incomplete: {loaded.message}.")
