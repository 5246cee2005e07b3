"""Five points of a face to an upright 112×112 crop, by the similarity that fits them best. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from mmfrm.images import SIDE, Pixels

Floats = np.ndarray[Any, np.dtype[np.float64]]

# Where eyes, nose and mouth corners lie in the 112×112 crops of face recognition (InsightFace's ArcFace
# template, as RAF-DB's and AffectNet's aligned crops nearly have them too).
TEMPLATE: Floats = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def similarity(source: Floats, target: Floats) -> Floats:
    """The (2, 3) matrix of turn, scale and shift that takes points (n, 2) to others with least squares.

    Umeyama 1991, never a reflection. Raises ValueError where the source points all coincide.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    spread = (a**2).sum()
    if not spread > 1e-12:
        raise ValueError("points that coincide have no direction")
    u, strengths, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ np.diag(signs) @ vt
    scale = (strengths * signs).sum() / spread
    return np.column_stack([scale * turn, target_mean - scale * turn @ source_mean])


def aligned(pixels: Pixels, points: Floats, template: Floats = TEMPLATE) -> Pixels:
    """The face with these five points (5, 2), in pixels of the photo (H, W, 3), as a crop (112, 112, 3).

    What lies beyond the photo is black. A face much larger than the crop is made smaller by whole factors
    first, as interpolation alone would alias. A pixel's middle lies at its index plus a half.
    """
    matrix = similarity(points, template)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    photo, origin, factor = _neighbourhood(pixels, matrix, scale)
    whole = np.vstack([matrix, [0, 0, 1]])
    back = np.linalg.inv(whole)[:2]  # from the crop to the photo
    back[:, 2] -= origin
    back /= factor
    crop = photo.transform(
        (SIDE, SIDE), Image.Transform.AFFINE, tuple(back.ravel()), Image.Resampling.BILINEAR
    )
    return np.asarray(crop)


def _neighbourhood(pixels: Pixels, matrix: Floats, scale: float) -> tuple[Image.Image, Floats, int]:
    """The part of the photo that the crop sees, reduced; where it begins, and by how much it is reduced."""
    factor = max(1, int(1 / scale + 1e-6))  # 4.9999999 is five
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    corners = np.array([[0, 0, 1], [SIDE, 0, 1], [0, SIDE, 1], [SIDE, SIDE, 1]]) @ inverse[:2].T
    low = np.floor(corners.min(axis=0)).astype(int) - 2 * factor
    high = np.ceil(corners.max(axis=0)).astype(int) + 2 * factor
    part = Image.fromarray(pixels).crop((int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    return (part.reduce(factor) if factor > 1 else part), low.astype(np.float64), factor
