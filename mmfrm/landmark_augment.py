"""Random changes of faces that take their points along."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 112
ROTATE = math.radians(30)
SCALE = 0.2
SHIFT = 0.1  # share of the side

# Where each of the 68 iBUG points goes when a face is mirrored: (first, last) of runs that are reversed,
# and pairs of runs that change places.
_MIRRORED_RUNS = ((0, 16), (17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67))
_MIRRORED_EYES = ((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46))


def mirrored_index() -> Tensor:
    """(68,): point i of the mirrored face was point index[i] of the face."""
    index = torch.arange(68)
    for first, last in _MIRRORED_RUNS:
        index[first : last + 1] = torch.arange(last, first - 1, -1)
    for left, right in _MIRRORED_EYES:
        index[left], index[right] = right, left
    return index


MIRRORED = mirrored_index()


def augmented(images: Tensor, points: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """uint8 (B, C, 112, 112), points (B, 68, 2) in pixels -> float 0…255 (B, 3, 112, 112), moved points.

    A similarity transform and a flip by one sampling, then light, tint, blur, and a box erased (which hides
    points without moving them).
    """
    draws = torch.rand(len(images), 22, generator=generator)
    pixels, points = _moved(images.float(), points, draws)
    pixels = _blurred(pixels, draws)
    pixels = _lit(pixels, draws)
    return _erased(pixels, draws).clamp_(0, 255), points


def _moved(pixels: Tensor, points: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    angle = (draws[:, 0] + draws[:, 1] - 1) * ROTATE  # triangular: most faces stand nearly upright
    zoom = torch.exp((draws[:, 2] + draws[:, 3] - 1) * math.log1p(SCALE) * 1.5)
    shift = (draws[:, 4:6] + draws[:, 6:8] - 1) * 2 * SHIFT  # grid coordinates run from −1 to 1
    mirror = torch.where(draws[:, 8] < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    # What a place of the new face shows: source = matrix · place + shift.
    matrix = torch.stack([cos * mirror, -sin, sin * mirror, cos], dim=1).view(-1, 2, 2)
    theta = torch.cat([matrix, shift[:, :, None]], dim=2)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    pixels = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    # Points go the other way. Pixels 0 and 112 are the edges of the face, −1 and 1 in the grid.
    offset = points * (2 / SIDE) - 1 - shift[:, None, :]
    moved = torch.linalg.solve(matrix, offset.transpose(1, 2)).transpose(1, 2)
    moved = torch.where((mirror < 0)[:, None, None], moved[:, MIRRORED], moved)
    return pixels, (moved + 1) * (SIDE / 2)


def _blurred(pixels: Tensor, draws: Tensor) -> Tensor:
    """A Gaussian of up to 2 pixels on half of the faces: two 1-D convolutions, a group a face."""
    batch, channels, height, width = pixels.shape
    sigma = torch.where(draws[:, 9] < 0.5, 0.3 + 1.7 * draws[:, 10], 0.1)
    at = torch.arange(-4, 5)
    kernel = torch.exp(-(at**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, :, None]
    flat = pixels.reshape(1, batch * channels, height, width)
    flat = F.conv2d(F.pad(flat, (0, 0, 4, 4), mode="replicate"), kernel, groups=batch * channels)
    flat = F.conv2d(
        F.pad(flat, (4, 4, 0, 0), mode="replicate"), kernel.transpose(2, 3), groups=batch * channels
    )
    return flat.view(batch, channels, height, width)


def _lit(pixels: Tensor, draws: Tensor) -> Tensor:
    """Contrast and brightness, and a tint on half of the faces: what grey taught serves colour photos."""
    contrast = 0.6 + 0.8 * draws[:, 11]
    brightness = (2 * draws[:, 12] - 1) * 40
    tint = torch.where((draws[:, 13] < 0.5)[:, None], 0.8 + 0.4 * draws[:, 14:17], 1.0)  # (B, 3)
    mean = pixels.mean((1, 2, 3))
    gain = (contrast[:, None] * tint)[:, :, None, None]
    offset = ((mean * (1 - contrast) + brightness)[:, None] * tint)[:, :, None, None]
    return pixels * gain + offset  # (B, 3, H, W), also from one channel


def _erased(pixels: Tensor, draws: Tensor) -> Tensor:
    """On a third of the faces, a box of 2 to 20 % of the area becomes one grey."""
    side = (0.02 + 0.18 * draws[:, 18]).sqrt() * SIDE
    corner = draws[:, 20:22] * (SIDE - side)[:, None]  # x, y
    at = torch.arange(SIDE)
    columns = (at >= corner[:, :1]) & (at < corner[:, :1] + side[:, None])
    rows = (at >= corner[:, 1:]) & (at < corner[:, 1:] + side[:, None])
    box = rows[:, None, :, None] & columns[:, None, None, :] & (draws[:, 19] < 1 / 3)[:, None, None, None]
    return torch.where(box, (draws[:, 19] * 3 * 255)[:, None, None, None], pixels)
