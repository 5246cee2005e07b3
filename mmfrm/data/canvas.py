"""What a face is drawn on: a pose, a canvas of colours and one of light and shadow, and a camera.

Coordinates: the head is about 2 wide and 2.8 high, its middle is (0, 0), x goes right and y down. Points
on the face lie on an ellipsoid, so that turning the head shifts them as it does on a photograph.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from mmfrm.data.people import Color
from mmfrm.images import SIDE

Points = NDArray[np.float64]  # (n, 2)

_SCALE = 2  # drawn twice as large and averaged down: smooth edges
_BIG = SIDE * _SCALE
_CURVATURE = np.array([1 / 1.12**2, 1 / 1.75**2])  # of the face, across and along
_GRID = (np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1) + 0.5).astype(np.float32)
_CIRCLE = np.linspace(0.0, 2 * np.pi, 28, endpoint=False)
UNIT = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)  # a circle, from the right over the bottom


class Canvas:
    """A canvas, and a second one of light and shadow (128 is neither), that both see the same pose."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        yaw, pitch = float(rng.normal(0, 0.2)), float(rng.normal(0, 0.12))
        self.yaw, self.pitch = np.clip(yaw, -0.5, 0.5), np.clip(pitch, -0.3, 0.3)
        roll, scale = float(rng.normal(0, 0.1)), _BIG * float(rng.uniform(0.295, 0.365))
        angles = np.array([self.yaw, self.pitch])
        self.cosines, self.sines = np.cos(angles), 0.85 * np.sin(angles)
        self.turn = scale * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        self.middle = np.array([_BIG / 2, _BIG * 0.5]) + rng.normal(0, _BIG * 0.02, 2)
        self.unit = scale
        self.light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.7, 0.2)])
        self.image = Image.new("RGB", (_BIG, _BIG))
        self.pen = ImageDraw.Draw(self.image)
        self.shadow = Image.new("L", (_BIG, _BIG), 128)
        self.shade = ImageDraw.Draw(self.shadow)
        self.solid = Image.new("L", (_BIG, _BIG))  # where the head is

    def flat(self, points: Points) -> list[float]:
        """Points of the silhouette, which turning the head hardly changes, as pixels."""
        pixels: list[float] = (points @ self.turn + self.middle).ravel().tolist()
        return pixels

    def on_face(self, points: Points) -> list[float]:
        """Points on the face's surface, turned with the head, as pixels."""
        inside = np.maximum(0.02, 1 - points * points @ _CURVATURE)
        depth = np.sqrt(inside)[:, None]
        return self.flat(points * self.cosines + depth * self.sines)

    def width(self, size: float) -> int:
        """A line's width in pixels, from face units."""
        return max(1, round(size * self.unit))

    def soft_line(self, points: Points, size: float, depth: float) -> None:
        """A crease: a line on the shadow canvas. depth: −1 lightest … 1 darkest."""
        tone = int(np.clip(128 - 127 * depth, 0, 255))
        self.shade.line(self.on_face(points), fill=tone, width=self.width(size), joint="curve")

    def soft_spot(self, x: float, y: float, rx: float, ry: float, depth: float) -> None:
        """A round shadow (or, with a negative depth, a light) on the face."""
        tone = int(np.clip(128 - 127 * depth, 0, 255))
        self.shade.polygon(self.on_face(np.array([x, y]) + UNIT * (rx, ry)), fill=tone)

    def cover(self, pixels: list[float], color: Color) -> None:
        """Something in front of the face: it also hides the shadows behind it."""
        self.pen.polygon(pixels, fill=color)
        self.shade.polygon(pixels, fill=128)

    def background(self) -> None:
        """Soft colours, and a few things out of focus."""
        rng = self.rng
        base = rng.uniform(40, 215)
        corners = np.clip(base + rng.normal(0, 22, (2, 2, 1)) + rng.normal(0, 13, (2, 2, 3)), 0, 255)
        small = Image.fromarray(corners.astype(np.uint8))
        self.image.paste(small.resize((_BIG, _BIG), Image.Resampling.BICUBIC))
        for _ in range(rng.integers(0, 5)):
            x, y = rng.uniform(0, _BIG, 2)
            r = rng.uniform(10, 50)
            tone = np.clip(corners[0, 0] + rng.normal(0, 16, 3), 0, 255).astype(int).tolist()
            self.pen.ellipse((x - r, y - r, x + r, y + r), fill=tuple(tone))

    def developed(self) -> NDArray[np.uint8]:
        """Light, camera and chance: what makes a drawing look taken."""
        rng = self.rng
        picture = self.image.reduce(_SCALE)
        small = self.shadow.reduce(_SCALE).filter(ImageFilter.GaussianBlur(1.3))
        light = self._light()[..., None] * (np.asarray(small, np.float32)[..., None] / 128.0) ** 0.75
        exposure = np.float32(rng.uniform(0.72, 1.08)) * rng.uniform(0.95, 1.05, 3).astype(np.float32)
        pixels = np.asarray(picture, np.float32) * light * exposure
        contrast = np.float32(rng.uniform(0.75, 1.15))
        pixels = (pixels - 118) * contrast + 118
        if rng.random() < 0.1:
            pixels[:] = pixels.mean(axis=2, keepdims=True)
        soft = _softened(np.clip(pixels, 0, 255).astype(np.uint8), rng)
        grain = rng.standard_normal((SIDE, SIDE, 1), dtype=np.float32) * np.float32(rng.gamma(1.6, 1.8))
        return np.clip(soft + grain, 0, 255).astype(np.uint8)

    def _light(self) -> NDArray[np.float32]:
        """(112, 112): how bright the head, taken as an ellipsoid, is where; outside it, a soft gradient."""
        flat = (_GRID * _SCALE - self.middle.astype(np.float32)) @ np.linalg.inv(self.turn).astype(np.float32)
        x, y = flat[..., 0] / 1.1, flat[..., 1] / 1.6
        z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
        solid = np.asarray(self.solid.reduce(_SCALE), np.float32) / 255
        lx, ly = self.light.astype(np.float32)
        slope = lx * np.clip(x, -1.2, 1.2) + ly * np.clip(y, -1.2, 1.2)
        bright = 0.82 + (0.26 * z - 0.08) * solid + (0.12 + 0.2 * solid) * slope
        return np.asarray(np.clip(bright, 0.25, 1.4), np.float32)


def _softened(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    image = Image.fromarray(pixels)
    chance = rng.random()
    if chance < 0.15:  # a small picture, made large
        small = int(rng.integers(40, 72))
        image = image.resize((small, small), Image.Resampling.BILINEAR)
        image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    elif chance < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 1.3))))
    return np.asarray(image, np.float32)
