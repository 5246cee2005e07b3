"""What is measured of every image on its way in: hashes, brightness, sharpness. numpy and Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL = 64  # pixels a side; images of any size become comparable on it
# Standard deviation in grey levels, 6 % of the range. Below it there is hardly anything to see; 14 of the
# 35,710 images of FERPlus are.
NEAR_CONSTANT_DEVIATION = 15.45

Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # (H, W, 3)


def _cosines(size: int, kept: int) -> NDArray[np.float32]:
    """The first rows of the DCT-II matrix: (kept, size)."""
    k, n = np.arange(kept)[:, None], np.arange(size)[None, :]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * size)).astype(np.float32)


_DCT = _cosines(THUMBNAIL, 8)


@dataclass(frozen=True, slots=True)
class Measures:
    """Figures of one image; see the fields of `mmfrm.data.native.Sample`."""

    phash: str
    brightness: float
    sharpness: float
    near_constant: bool


def is_grey(pixels: Pixels) -> bool:
    """Whether the three channels of (H, W, 3) are equal."""
    return bool(
        np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 1], pixels[..., 2])
    )


def pixels_digest(pixels: Pixels, grey: bool) -> str:
    """16 hexadecimal digits that equal images share, however they were encoded."""
    shown = np.ascontiguousarray(pixels[..., 0]) if grey else np.ascontiguousarray(pixels)
    return sha256(b"%d %d " % pixels.shape[:2] + shown.tobytes()).hexdigest()[:16]


def thumbnail(pixels: Pixels, grey: bool) -> NDArray[np.uint8]:
    """(H, W, 3) to a grey (64, 64)."""
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0])) if grey else _luma(pixels)
    return np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR))


def _luma(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels).convert("L")


def measure(thumbnails: Sequence[NDArray[np.uint8]]) -> list[Measures]:
    """Figures of a batch of thumbnails."""
    if not thumbnails:
        return []
    grey = np.stack(thumbnails).astype(np.float32)  # (B, 64, 64)
    deviation = grey.std(axis=(1, 2))
    brightness = grey.mean(axis=(1, 2))
    sharpness = _laplacian(grey).var(axis=(1, 2))
    hashes = _perceptual_hashes(grey)
    return [
        Measures(hashes[i], round(float(brightness[i]), 2), round(float(sharpness[i]), 2), bool(low))
        for i, low in enumerate(deviation < NEAR_CONSTANT_DEVIATION)
    ]


def _laplacian(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    inner = grey[:, 1:-1, 1:-1]
    return grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * inner


def _perceptual_hashes(grey: NDArray[np.float32]) -> list[str]:
    """Signs of the 8 × 8 lowest DCT coefficients about their median, as pHash does."""
    low = _DCT @ grey @ _DCT.T  # (B, 8, 8)
    flat = low.reshape(len(grey), 64)
    flat[:, 0] = 0.0  # the mean: brightness is not content
    median = np.median(flat[:, 1:], axis=1, keepdims=True)
    return [row.tobytes().hex() for row in np.packbits(flat > median, axis=1)]
