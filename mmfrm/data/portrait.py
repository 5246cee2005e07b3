"""One drawn face: a person, an expression and a moment, as 112 × 112 RGB. numpy and Pillow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmfrm.classes import DRAWN
from mmfrm.data.anatomy import BULGE, Face, T
from mmfrm.data.canvas import UNIT
from mmfrm.data.people import CLOTHES, Color, Person, dim, draw_actions, mix


def portrait(expression: str, person: Person, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(112, 112, 3) RGB of one person showing one expression (a name of `mmfrm.classes.DRAWN`)."""
    if expression not in DRAWN:
        raise ValueError(f"{expression!r} is not one of {', '.join(DRAWN)}")
    face = _Portrait(person, draw_actions(expression, person, rng), rng)
    face.background()
    face.behind()
    face.head()
    face.creases()
    for side in (-1, 1):
        face.eye(side)
    face.nose()
    face.mouth()
    face.facial_hair()
    for side in (-1, 1):
        face.brow(side)
    face.hair()
    face.in_front()
    return face.developed()


class _Portrait(Face):
    """A face with everything that grows on it, is worn on it or gets in front of it."""

    def facial_hair(self) -> None:
        person = self.person
        if person.beard <= 0:
            return
        color = mix(person.skin, dim(person.hair, 0.9), 0.25 + 0.55 * person.beard)
        half, corner_y = self.mouth_corner()
        low = self.outline()
        low = low[low[:, 1] > 0.1]
        low = low[np.argsort(low[:, 0])]
        drop = 0.36 * self.act["jaw"]
        inner_y = np.maximum(0.1, corner_y + 0.22 + 0.75 * drop - 0.5 * (low[:, 0] / 0.9) ** 2)
        inner = np.stack([0.86 * low[:, 0], np.minimum(inner_y, low[:, 1] - 0.05)], axis=1)
        self.pen.polygon(self.flat(np.concatenate([low, inner[::-1]])), fill=color)
        top = 0.53 - 0.1 * self.act["upper"] - 0.06 * self.act["teeth"] + 0.03 * T**2
        sides = np.stack([1.08 * half * T, top + 0.04 + (corner_y - 0.62) * T**2], 1)
        upper = np.stack([0.9 * half * T, top - 0.05 + (corner_y - 0.66) * T**2], 1)
        self.pen.polygon(self.on_face(np.concatenate([upper, sides[::-1]])), fill=color)

    def hair(self) -> None:
        person, rng = self.person, self.rng
        if person.style == "bald":
            return
        swing = 0.1 * np.sin(self.yaw)
        arc = np.linspace(np.pi * 0.98, np.pi * 2.02, 19)
        crown = np.stack([1.08 * np.cos(arc) + swing * 0.5, 1.52 * np.sin(arc) - 0.06], axis=1)
        x = np.linspace(0.98, -0.98, 15)
        line = {
            "short": -0.98 + 0.55 * np.abs(x) ** 3,
            "fringe": -0.62 + 0.2 * np.abs(x) ** 3 + 0.04 * np.sin(9 * x),
            "side": -1.02 + 0.34 * (x - 0.25) + 0.8 * np.abs(x) ** 4,
            "long": -1.06 + 0.95 * np.abs(x) ** 1.7,
            "bun": -1.0 + 0.6 * np.abs(x) ** 2.5,
        }[person.style]
        hairline = np.stack([x + 2 * swing * (1 - np.abs(x)), line + 0.5 * np.sin(self.pitch)], axis=1)
        self.cover(self.flat(np.concatenate([crown, hairline])), person.hair)
        if person.style == "long":
            for s in (-1, 1):
                lock = np.array([[0.86, -0.75], [1.12, -0.5], [1.24, 1.4], [0.96, 1.55], [0.92, 0.2]]) * (
                    s,
                    1,
                )
                self.cover(self.flat(lock), dim(person.hair, 0.92))
        for k in range(12):  # strands
            a, b = crown[2 + k], hairline[13 - k]
            tint = mix(person.hair, (255, 255, 255) if k % 2 else (0, 0, 0), float(rng.uniform(0.05, 0.2)))
            strand = np.stack([a * 0.97, (a + b) / 2 * (1.02, 1.0), b])
            self.pen.line(self.flat(strand), fill=tint, width=self.width(0.02))

    def in_front(self) -> None:
        """What hides parts of a face."""
        rng = self.rng
        dark = rng.random() < 0.04
        if self.person.glasses or dark:
            self._glasses(dark)
        chance = rng.random()
        if chance < 0.05:
            self._hand()
        elif chance < 0.08:
            self._scarf()
        elif chance < 0.15:
            self._cap()

    def _glasses(self, dark: bool) -> None:
        frame: Color = (30, 28, 30) if self.rng.random() < 0.7 else (134, 96, 58)
        d = self.person.eye_distance
        squared = np.sign(UNIT) * np.abs(UNIT) ** 0.7
        for side in (-1, 1):
            rim = self.on_face(np.array([side * d, -0.2]) + squared * (0.3, 0.23))
            if dark:
                self.cover(rim, (34, 32, 38))
            self.pen.line([*rim, *rim[:4]], fill=frame, width=self.width(0.04), joint="curve")
            arm = np.array([[side * (d + 0.3), -0.24], [side * 0.97, -0.26]])
            self.pen.line(self.on_face(arm), fill=frame, width=self.width(0.035))
        bridge = np.array([[-(d - 0.3), -0.22], [0, -0.26], [d - 0.3, -0.22]])
        self.pen.line(self.on_face(bridge), fill=frame, width=self.width(0.04))

    def _hand(self) -> None:
        """Four fingers on a cheek or over the mouth."""
        side = 1 if self.rng.random() < 0.5 else -1
        x, y = side * self.rng.uniform(0.25, 0.95), self.rng.uniform(0.5, 1.0)
        for k in range(4):
            tip = np.array([x - side * 0.14 * k, y - 0.5 + 0.1 * abs(k - 1.5)])
            root = np.array([x + side * (0.3 - 0.1 * k), y + 1.2])
            across = np.array([0.085, 0.0])
            finger = np.concatenate([[root - across], tip + 0.085 * UNIT[14:], [root + across]])
            self.cover(self.flat(finger), dim(self.person.skin, 0.98 - 0.05 * (k % 2)))

    def _scarf(self) -> None:
        color = CLOTHES[self.rng.integers(len(CLOTHES))]
        top = self.rng.uniform(0.55, 0.95)
        edge = np.stack([1.25 * T, top + 0.18 * T**2 + 0.03 * np.sin(7 * T)], axis=1)
        self.cover(self.flat(np.concatenate([edge, [[1.5, 2.4], [-1.5, 2.4]]])), color)
        fold = edge * (0.9, 1) + (0.0, 0.25)
        self.pen.line(self.flat(fold), fill=dim(color, 0.8), width=self.width(0.05))

    def _cap(self) -> None:
        color = CLOTHES[self.rng.integers(len(CLOTHES))]
        arc = np.linspace(np.pi, 2 * np.pi, 19)
        dome = np.stack([1.14 * np.cos(arc), -0.62 + 1.05 * np.sin(arc)], axis=1)
        low = self.rng.uniform(-0.68, -0.5)
        brim = np.stack([1.16 * -T, low - 0.08 * BULGE], axis=1)
        self.cover(self.flat(np.concatenate([dome, brim])), color)
        band = np.concatenate([brim, brim[::-1] - np.array([0, 0.22])])
        self.cover(self.flat(band), dim(color, 0.82))
