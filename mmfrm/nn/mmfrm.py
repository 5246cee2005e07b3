"""MMFRM: a small ResNet for expressions into which landmark features are fused at three scales.

Ding, Zhang, Yang, Hu, "A multiscale and multilevel fusion network based on ResNet and MobileFaceNet for
facial expression recognition", IET Cyber-Physical Systems 2025, doi 10.1049/cps2.70003.

    image ─ stem ─ layer1 ─ layer2 ─┬─ fuse 1 ─ layer3 ─┬─ fuse 2 ─ layer4 ─┬─ fuse 3 ─ pool ─ f ─┬─ α
                                    │                   │                   │                     └─ × logits
    MobileFaceNet ──────────── feature1 ─────────── feature2 ─────────── feature3

"Fuse" is a TCFFM (attention), then a conv block back to the backbone's width. In the published size
the maps are 128×28×28, 256×14×14 and 512×7×7. Attribute names (`cov1`, `TCFMM1`, …) are the released
program's, so that its state dicts load as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmfrm.nn.mobilefacenet import FEATURE_CHANNELS
from mmfrm.nn.tcffm import TCFFM, Concat, FaceOnly


@dataclass(frozen=True, kw_only=True)
class Proportions:
    """Channel and block counts of a network of the family."""

    stages: tuple[int, int, int, int] = (64, 128, 256, 512)  # layer1 … layer4; the stem has the first
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)  # residual blocks of each
    landmarks: tuple[int, int, int] = FEATURE_CHANNELS  # what is fused; 1×1 convolutions narrow it to this

    def scaled(self, width: float) -> Proportions:
        """Every channel count times `width`, in multiples of 8."""
        if width == 1.0:
            return self
        s1, s2, s3, s4 = (_multiple_of_8(c * width) for c in self.stages)
        l1, l2, l3 = (_multiple_of_8(c * width) for c in self.landmarks)
        return Proportions(stages=(s1, s2, s3, s4), blocks=self.blocks, landmarks=(l1, l2, l3))


def _multiple_of_8(channels: float) -> int:
    # Not below 16: a 1×1 convolution of 8 channels with stride 2 crashes in oneDNN's fp32 kernels
    # (seen with torch 2.13 on AVX-512 in channels-last), and would fill half a vector anyway.
    return max(16, 8 * round(channels / 8))


PAPER = Proportions()
# Less than a fifth of the published multiplications, but no uniform shrink. At 7×7 the published fusion
# mixes 1024 channels, half of them landmark features, and takes a quarter of all multiplications: here the
# latter are narrowed to 64. Early stages have one block, since three convolutions of the fusion follow
# anyway. Multiples of 32 fill the vector units.
SMALL = Proportions(stages=(32, 64, 128, 256), blocks=(1, 1, 2, 2), landmarks=(32, 32, 64))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around a short-cut, which with stride 2 is a 1×1 convolution (`extra`)."""

    def __init__(self, cin: int, cout: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, padding=1)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(cout)
        self.extra: nn.Module = nn.Identity()
        if stride == 2:
            self.extra = nn.Sequential(nn.Conv2d(cin, cout, 1, stride), nn.BatchNorm2d(cout))

    def forward(self, x: Tensor) -> Tensor:
        # (B, Cin, H, W) -> (B, Cout, H / stride, W / stride)
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.extra(x) + self.bn2(self.conv2(out)))  # noqa: S610 (not Django's `extra`)


class ConvBlock(nn.Module):
    """After a fusion: norm, dropout, ReLU, and a 3×3 convolution back to the backbone's width."""

    def __init__(self, cin: int, cout: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.BatchNorm2d(cin),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Conv2d(cin, cout, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        # (B, Cin, H, W) -> (B, Cout, H, W)
        out: Tensor = self.conv(x)
        return out


class MMFRM(nn.Module):
    """The expression network. With its defaults it is the published one, entry for entry.

    `fusion`: tcffm, concat or none (see `mmfrm.nn.tcffm`; with none the features are not asked for).
    `stem_norm`: apply the stem's norm and a ReLU; the released program declares that norm and never
    applies it, so here it is declared without gradient. `alpha_start`: bias of the α gate.
    """

    def __init__(
        self,
        classes: int = 7,
        proportions: Proportions = PAPER,
        *,
        fusion: str = "tcffm",
        stem_norm: bool = False,
        dropout: float = 0.2,
        alpha_start: float | None = None,
    ) -> None:
        super().__init__()
        c1, c2, c3, c4 = proportions.stages
        b1, b2, b3, b4 = proportions.blocks
        self.stem_norm = stem_norm
        self.conv1 = nn.Conv2d(3, c1, kernel_size=7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(c1).requires_grad_(stem_norm)
        self.layer1 = _stage(c1, c1, b1, stride=1)
        self.layer2 = _stage(c1, c2, b2, stride=2)
        self.layer3 = _stage(c2, c3, b3, stride=2)
        self.layer4 = _stage(c3, c4, b4, stride=2)
        self.fc = nn.Linear(c4, classes)
        gate = nn.Linear(c4, 1)
        self.alpha = nn.Sequential(gate, nn.Sigmoid())
        l1, l2, l3 = proportions.landmarks if fusion != "none" else (0, 0, 0)
        self.cov1 = ConvBlock(c2 + l1, c2, dropout)
        self.cov2 = ConvBlock(c3 + l2, c3, dropout)
        self.cov3 = ConvBlock(c4 + l3, c4, dropout)
        self.TCFMM1 = _fusion(fusion, c2, l1)
        self.TCFMM2 = _fusion(fusion, c3, l2)
        self.TCFMM3 = _fusion(fusion, c4, l3)
        self.reduce1 = _reduce(FEATURE_CHANNELS[0], l1)
        self.reduce2 = _reduce(FEATURE_CHANNELS[1], l2)
        self.reduce3 = _reduce(FEATURE_CHANNELS[2], l3)
        if alpha_start is not None:
            nn.init.constant_(gate.bias, alpha_start)

    def forward(
        self, x: Tensor, feature1: Tensor | None, feature2: Tensor | None, feature3: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        # (B, 3, 112, 112) normalised, (B, 64, 28, 28), (B, 128, 14, 14), (B, 512, 7, 7) -> (B, 1), (B, K)
        x = self.conv1(x)  # (B, 64, 56, 56), in the published size
        if self.stem_norm:
            x = torch.relu(self.bn1(x))
        x = self.layer2(self.layer1(x))  # (B, 128, 28, 28)
        x = self.cov1(self.TCFMM1(x, self.reduce1(feature1)))
        x = self.layer3(x)  # (B, 256, 14, 14)
        x = self.cov2(self.TCFMM2(x, self.reduce2(feature2)))
        x = self.layer4(x)  # (B, 512, 7, 7)
        x = self.cov3(self.TCFMM3(x, self.reduce3(feature3)))
        f = x.mean((2, 3))  # (B, 512)
        alpha: Tensor = self.alpha(f)
        # α scales all logits of a face: it is a temperature, and cannot change which class is largest.
        return alpha, alpha * self.fc(f)


def _stage(cin: int, cout: int, blocks: int, *, stride: int) -> nn.Sequential:
    more = (BasicBlock(cout, cout) for _ in range(blocks - 1))
    return nn.Sequential(BasicBlock(cin, cout, stride=stride), *more)


def _fusion(kind: str, face_channels: int, landmark_channels: int) -> nn.Module:
    if kind == "tcffm":
        return TCFFM(face_channels, landmark_channels)
    return Concat() if kind == "concat" else FaceOnly()


def _reduce(given: int, wanted: int) -> nn.Module:
    """Landmark features on their way into a narrower network. The published size takes them as they are.

    The norm makes their scale independent of how the landmark network was trained.
    """
    if wanted in (0, given):
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(given, wanted, 1, bias=False), nn.BatchNorm2d(wanted))
