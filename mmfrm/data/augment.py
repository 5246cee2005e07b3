"""Random changes of a batch of faces, all at once, driven by one generator so that a run is repeatable."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmfrm.config import AugmentConfig


class Augment:
    """Flip, rotate, scale, shift, contrast, brightness and erasing of uint8 faces.

    One affine sampling a batch. Every random number is drawn from the generator in a fixed order and
    count, whatever is switched on, so that switching one change off does not alter the others.
    """

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config
        self._moves = bool(config.rotate or config.scale or config.shift)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 (B, 3, S, S) to the same shape and kind. `generator` lives on the images' device."""
        draws = torch.rand(len(images), 12, generator=generator, device=generator.device).to(images.device)
        grey = (
            images.shape[1] == 3 and images.stride(1) == 0
        )  # one channel shown as three: a third of the work
        pixels = images[:, :1] if grey else images
        pixels = self._moved(pixels, draws) if self._moves else self._flipped(pixels, draws)
        pixels = self._lit(pixels, draws)
        pixels = self._erased(pixels, draws)
        result = pixels.clamp(0, 255).round().to(torch.uint8) if pixels.is_floating_point() else pixels
        return result.expand(-1, 3, -1, -1) if grey else result

    def _flips(self, draws: Tensor) -> Tensor:
        return (draws[:, 0] < 0.5) & self.config.flip

    def _flipped(self, pixels: Tensor, draws: Tensor) -> Tensor:
        return torch.where(self._flips(draws)[:, None, None, None], pixels.flip(-1), pixels)

    def _moved(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """Sample through one affine map an image: (B, C, S, S) float."""
        config = self.config
        angle = (2 * draws[:, 1] - 1) * math.radians(config.rotate)
        zoom = 1 + (2 * draws[:, 2] - 1) * config.scale
        shift = (2 * draws[:, 3:5] - 1) * (2 * config.shift)  # grid coordinates run from −1 to 1
        mirror = 1 - 2 * self._flips(draws).float()
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        right, down = _axes(pixels.shape[-1], pixels.device)
        # F.affine_grid answers the same, several times slower.
        grid = pixels.new_empty(len(pixels), *pixels.shape[2:], 2, dtype=torch.float32)
        torch.add(_outer(cos * mirror, right, shift[:, 0]), _outer(-sin, down), out=grid[..., 0])
        torch.add(_outer(sin * mirror, right, shift[:, 1]), _outer(cos, down), out=grid[..., 1])
        return F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)

    def _lit(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """Contrast about each image's mean, and brightness."""
        if not self.config.contrast:
            return pixels
        contrast = 1 + (2 * draws[:, 5] - 1) * self.config.contrast
        brightness = (2 * draws[:, 6] - 1) * self.config.contrast * 64
        pixels = pixels.float()
        mean = pixels.mean(dim=(1, 2, 3))
        offset = mean * (1 - contrast) + brightness
        return torch.addcmul(_per_image(offset), pixels, _per_image(contrast))

    def _erased(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """A box of 2 to 25 % of the area, filled with a grey of chance."""
        if not self.config.erase:
            return pixels
        side = pixels.shape[-1]
        area = 0.02 + draws[:, 8] * 0.23
        aspect = torch.exp((2 * draws[:, 9] - 1) * math.log(2.0))
        height, width = (area * aspect).sqrt() * side, (area / aspect).sqrt() * side
        top, left = draws[:, 10] * (side - height), draws[:, 11] * (side - width)
        at = torch.arange(side, device=pixels.device)[None, :]
        rows = (at >= top[:, None]) & (at < (top + height)[:, None])
        columns = (at >= left[:, None]) & (at < (left + width)[:, None])
        chosen = draws[:, 7] < self.config.erase
        box = (rows & chosen[:, None])[:, None, :, None] & columns[:, None, None, :]  # (B, 1, S, S)
        fill = _per_image((draws[:, 7] / self.config.erase * 255).floor().clamp(0, 255)).to(pixels.dtype)
        return torch.where(box, fill, pixels)


def _axes(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Grid coordinates of pixel centres, from left to right (1, S) and from top to bottom (S, 1)."""
    centres = (torch.arange(side, device=device) + 0.5) * (2 / side) - 1
    return centres[None, :], centres[:, None]


def _outer(values: Tensor, axis: Tensor, more: Tensor | None = None) -> Tensor:
    """(B,) times an axis, plus (B,): (B, 1, S) or (B, S, 1)."""
    product = values[:, None, None] * axis
    return product if more is None else product + more[:, None, None]


def _per_image(values: Tensor) -> Tensor:
    """(B,) to (B, 1, 1, 1)."""
    return values[:, None, None, None]
