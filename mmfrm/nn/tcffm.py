"""TCFFM: how a face map and a landmark map of one scale become one map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmfrm.nn.cbam import CBAM


class TCFFM(nn.Module):
    """Triple-CBAM feature fusion: attend to the face and the landmark map apart, then together.

    Paper: Ding et al. 2025, doi 10.1049/cps2.70003. Attribute names are the released program's.
    """

    def __init__(self, face_channels: int, landmark_channels: int) -> None:
        super().__init__()
        both = face_channels + landmark_channels
        self.conv1 = nn.Conv2d(face_channels, face_channels, 3, padding=1)
        self.cbam1 = CBAM(face_channels)
        self.conv2 = nn.Conv2d(landmark_channels, landmark_channels, 3, padding=1)
        self.cbam2 = CBAM(landmark_channels)
        self.conv3 = nn.Conv2d(both, both, 3, padding=1)
        self.cbam3 = CBAM(both)

    def forward(self, face: Tensor, landmark: Tensor) -> Tensor:
        # (B, Cf, H, W), (B, Cl, H, W) -> (B, Cf + Cl, H, W)
        face = self.cbam1(self.conv1(face))
        landmark = self.cbam2(self.conv2(landmark))
        out: Tensor = self.cbam3(self.conv3(torch.cat([face, landmark], dim=1)))
        return out


class Concat(nn.Module):
    """The plain alternative, for ablation: both maps side by side."""

    def forward(self, face: Tensor, landmark: Tensor) -> Tensor:
        # (B, Cf, H, W), (B, Cl, H, W) -> (B, Cf + Cl, H, W)
        return torch.cat([face, landmark], dim=1)


class FaceOnly(nn.Module):
    """The other alternative: the landmark map is not looked at."""

    def forward(self, face: Tensor, landmark: Tensor | None = None) -> Tensor:
        # (B, Cf, H, W) -> the same
        return face
