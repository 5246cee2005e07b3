"""The network that everything else uses: RGB pixels in, α and logits out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmfrm.classes import MOST_CLASSES
from mmfrm.config import NetworkConfig
from mmfrm.images import SIDE
from mmfrm.nn.landmark_weights import (
    RELEASED_CONVENTION,
    InputConvention,
    Normalise,
    load_landmark_weights,
    read_landmark_weights,
)
from mmfrm.nn.mmfrm import MMFRM, PAPER, SMALL
from mmfrm.nn.mobilefacenet import FEATURE_STRIDES, MobileFaceNet
from mmfrm.schema import ConfigError

SIZES = {"paper": PAPER, "small": SMALL}


class FaceNetwork(nn.Module):
    """MMFRM with its landmark network and the normalisation of both.

    A frozen landmark network is in eval mode and without gradient always, also after `train()`. With
    fusion "none" there is no landmark network. Made with random weights: `build_network` loads what
    the config asks for, `mmfrm.checkpoint.load_model` what was saved.
    """

    def __init__(
        self,
        config: NetworkConfig,
        classes: int,
        landmark_convention: InputConvention = RELEASED_CONVENTION,
    ) -> None:
        super().__init__()
        if not 2 <= classes <= MOST_CLASSES:
            raise ConfigError("classes", f"{classes} is not between 2 and {MOST_CLASSES}")
        self.landmarks_are_frozen = config.landmarks == "frozen"
        self.half_side = config.half_side
        self.face_input = Normalise(InputConvention())
        self.expression = MMFRM(
            classes,
            SIZES[config.size].scaled(config.width),
            fusion=config.fusion,
            stem_norm=config.stem_norm,
            dropout=config.dropout,
            alpha_start=config.alpha_start,
        )
        self.landmark_input: Normalise | None = None
        self.landmarks: MobileFaceNet | None = None
        # What computes frozen landmark features instead, or answers None: see `mmfrm.engines.frozen`.
        self.quick_landmarks: Callable[[Tensor], tuple[Tensor, ...] | None] | None = None
        if config.fusion != "none":
            self.landmark_input = Normalise(landmark_convention)
            # Neither head nor the released class's unused layers: DDP wants every parameter used.
            self.landmarks = MobileFaceNet(outputs=0, classes=0)
            self.landmarks.requires_grad_(not self.landmarks_are_frozen)
        self.train()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.landmarks is not None and self.landmarks_are_frozen:
            self.landmarks.eval()
        return self

    def forward(self, rgb: Tensor, side: int = SIDE) -> tuple[Tensor, Tensor]:
        """(B, 3, 112, 112) uint8, or float 0…255, to α (B, 1), logits (B, K).

        `side`, a multiple of 16: what the expression network sees the images at (see `mmfrm.growth`), or
        twice that where it works at half the side. The landmark network sees them whole, unless it learned
        along at half the side, and its maps are averaged down to fit.
        """
        halves = self.half_side and side == SIDE
        face = self.face_input(_halved(rgb) if halves else rgb)  # halved first, there is less to normalise
        features = self.landmark_features(rgb)
        if side != SIDE:
            seen = side // 2 if self.half_side else side
            face = F.interpolate(face, size=seen, mode="bilinear", antialias=True)
            features = tuple(
                None if f is None else F.adaptive_avg_pool2d(f, -(-seen // stride))
                for f, stride in zip(features, FEATURE_STRIDES, strict=True)
            )
        elif halves and self.landmarks_are_frozen:
            # Rounded up, as the strides of the networks round: maps of 14, 7 and 4.
            features = tuple(None if f is None else F.avg_pool2d(f, 2, ceil_mode=True) for f in features)
        alpha, logits = self.expression(face, *features)
        return alpha, logits

    def landmark_features(self, rgb: Tensor) -> tuple[Tensor | None, ...]:
        """(B, 64, 28, 28), (B, 128, 14, 14), (B, 512, 7, 7); three times None without landmarks.

        Half of those sides, rounded up, from a landmark network that learns along at half the side: it can
        get used to that, as a frozen one cannot.
        """
        if self.landmarks is None or self.landmark_input is None:
            return None, None, None
        if self.quick_landmarks is not None and (quick := self.quick_landmarks(rgb)) is not None:
            return quick
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.landmarks_are_frozen):
            seen = self.landmark_input(rgb)
            halves = self.half_side and not self.landmarks_are_frozen
            return self.landmarks.features(_halved(seen) if halves else seen)


def _halved(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) to float (B, 3, H / 2, W / 2): means of 2 × 2 pixels."""
    # A convolution, since OpenVINO has nothing quicker: 31 µs a face, where its pooling takes 122.
    means = pixels.new_full((3, 1, 2, 2), 0.25, dtype=torch.float32)
    return F.conv2d(pixels.float(), means, stride=2, groups=3)


def build_network(config: NetworkConfig, classes: int) -> FaceNetwork:
    """A network to train, with the landmark weights that the config asks for.

    Raises mmfrm.released.CheckpointError with the remedy where they are missing: random landmark
    features are never used unless `landmarks = "scratch"` asks for them.
    """
    if config.fusion == "none" or config.landmarks == "scratch":
        return FaceNetwork(config, classes)
    weights = read_landmark_weights(config.landmark_weights)
    network = FaceNetwork(config, classes, weights.convention)
    assert network.landmarks is not None  # noqa: S101 (for the type checker: fusion is not "none")
    load_landmark_weights(network.landmarks, weights, config.landmark_weights)
    return network
