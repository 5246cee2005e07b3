"""One drawn face: a person, an expression and a moment, rendered to 112 × 112 RGB. numpy and Pillow.

Coordinates: the head is about 2 wide and 2.8 high, its middle is (0, 0), x goes right and y down. Points
on the face lie on an ellipsoid, so that turning the head shifts them as it does on a photograph.
Expressions follow the facial action coding system (Ekman and Friesen; EMFACS prototypes).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from mmfrm.classes import DRAWN

SIDE = 112
_SCALE = 2  # drawn twice as large and averaged down: smooth edges
_BIG = SIDE * _SCALE

Points = NDArray[np.float64]  # (n, 2)
Color = tuple[int, int, int]

# What muscles do, each about −1…1: raise the inner and the outer brow, draw the brows together, open the
# eyes, tighten the lids, raise the cheeks, wrinkle the nose, pull the lip corners up, widen the mouth,
# raise the upper lip, drop the jaw, press the lips, bare the teeth.
ACTIONS = (
    "inner", "outer", "squeeze", "open", "tight", "cheek", "wrinkle", "smile", "width", "upper", "jaw",
    "press", "teeth",
)  # fmt: skip

PROTOTYPES: dict[str, tuple[dict[str, float], ...]] = {
    "neutral": ({}, {"press": 0.2}, {"jaw": 0.12}),
    "happiness": (
        {"tight": 0.4, "cheek": 1.0, "smile": 1.0, "width": 0.5, "upper": 0.3, "jaw": 0.35, "teeth": 1.0},
        {"tight": 0.3, "cheek": 0.8, "smile": 0.9, "width": 0.3, "outer": 0.1},
    ),
    "surprise": (
        {"inner": 0.9, "outer": 0.9, "open": 0.9, "jaw": 1.0, "width": -0.4},
        {"inner": 0.8, "outer": 1.0, "open": 0.8, "jaw": 0.45, "width": -0.2},
    ),
    "sadness": (
        {"inner": 0.9, "outer": -0.5, "squeeze": 0.4, "open": -0.4, "smile": -0.8, "press": 0.2},
        {"inner": 0.7, "outer": -0.4, "squeeze": 0.3, "open": -0.5, "smile": -0.7, "jaw": 0.15},
    ),
    "anger": (
        {"inner": -0.9, "outer": 0.2, "squeeze": 1.0, "open": 0.2, "tight": 0.7, "smile": -0.4, "press": 0.9},
        {"inner": -0.9, "outer": 0.3, "squeeze": 0.9, "open": 0.5, "tight": 0.5, "smile": -0.3, "jaw": 0.45,
         "teeth": 1.0, "width": 0.2, "wrinkle": 0.3},
    ),
    "disgust": (
        {"inner": -0.5, "squeeze": 0.4, "open": -0.4, "tight": 0.7, "cheek": 0.5, "wrinkle": 1.0,
         "upper": 1.0, "smile": -0.4, "jaw": 0.12, "teeth": 0.5},
        {"inner": -0.4, "squeeze": 0.5, "open": -0.3, "tight": 0.8, "cheek": 0.4, "wrinkle": 0.8,
         "upper": 0.8, "smile": -0.5, "press": 0.3},
    ),
    "fear": (
        {"inner": 0.9, "outer": 0.3, "squeeze": 0.8, "open": 0.9, "jaw": 0.45, "width": 0.6, "smile": -0.4,
         "teeth": 0.5},
        {"inner": 0.8, "outer": 0.2, "squeeze": 0.7, "open": 0.7, "jaw": 0.2, "width": 0.5, "smile": -0.5},
    ),
}  # fmt: skip

_SKINS: tuple[Color, ...] = (
    (255, 224, 200), (244, 208, 177), (231, 188, 152), (214, 163, 122), (187, 132, 92), (152, 102, 69),
    (116, 75, 50), (84, 54, 38),
)  # fmt: skip
_HAIRS: tuple[Color, ...] = (
    (28, 22, 20), (48, 34, 26), (84, 56, 36), (124, 82, 46), (190, 148, 86), (216, 184, 128),
    (150, 62, 34), (150, 148, 146), (222, 220, 216),
)  # fmt: skip
_IRISES: tuple[Color, ...] = ((70, 44, 26), (96, 62, 34), (86, 106, 60), (74, 112, 148), (110, 124, 130))
_CLOTHES: tuple[Color, ...] = (
    (52, 73, 94), (120, 60, 66), (66, 104, 86), (200, 196, 186), (42, 42, 48), (150, 120, 84), (88, 84, 130),
)  # fmt: skip

_T = np.linspace(-1.0, 1.0, 17)
_BULGE = 1.0 - _T**2
_CIRCLE = np.linspace(0.0, 2 * np.pi, 28, endpoint=False)
_UNIT = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)
_CURVATURE = np.array([1 / 1.12**2, 1 / 1.75**2])  # of the face, across and along
_GRID = (np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1) + 0.5).astype(np.float32)


@dataclass(frozen=True)
class Person:
    """What stays the same in every picture of one drawn person."""

    skin: Color
    hair: Color
    iris: Color
    lips: Color
    style: str  # bald | short | fringe | side | long | bun
    beard: float  # 0 none … 1 full
    glasses: bool
    jaw_width: float
    jaw_length: float
    eye_size: float
    eye_distance: float
    brow_height: float
    brow_weight: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_weight: float
    age: float  # 0…1: how deep lines are
    rest: dict[str, float] = field(default_factory=dict)  # the face at rest is rarely exactly neutral


def draw_person(rng: np.random.Generator) -> Person:
    """A person by chance."""
    tone = rng.uniform(0, len(_SKINS) - 1)
    skin = _mix(_SKINS[int(tone)], _SKINS[min(int(tone) + 1, len(_SKINS) - 1)], tone % 1)
    dark = tone > 3.5
    hair = _HAIRS[rng.integers(0, 3) if dark and rng.random() < 0.95 else rng.integers(0, len(_HAIRS))]
    styles = ("bald", "short", "fringe", "side", "long", "bun")
    style = str(rng.choice(styles, p=(0.08, 0.27, 0.16, 0.17, 0.22, 0.10)))
    bearded = style in ("bald", "short", "side") and rng.random() < 0.4
    lips = _mix(_mix(skin, (176, 66, 70), rng.uniform(0.35, 0.75)), (90, 30, 34), 0.25 if dark else 0.0)
    names = ("inner", "outer", "open", "smile", "squeeze", "width")
    return Person(
        skin=skin,
        hair=hair,
        iris=_IRISES[rng.integers(0, 2 if dark else len(_IRISES))],
        lips=lips,
        style=style,
        beard=float(rng.uniform(0.3, 1.0)) if bearded else 0.0,
        glasses=bool(rng.random() < 0.2),
        jaw_width=float(rng.normal(1.0, 0.07)),
        jaw_length=float(rng.normal(1.0, 0.05)),
        eye_size=float(rng.normal(1.0, 0.1)),
        eye_distance=float(rng.normal(0.43, 0.025)),
        brow_height=float(rng.normal(0.0, 0.03)),
        brow_weight=float(rng.uniform(0.6, 1.5)),
        nose_width=float(rng.uniform(0.8, 1.35)),
        nose_length=float(rng.normal(1.0, 0.1)),
        mouth_width=float(rng.normal(1.0, 0.09)),
        lip_weight=float(rng.uniform(0.6, 1.5)),
        age=float(rng.random()),
        rest=dict(zip(names, rng.normal(0.0, 0.13, len(names)).tolist(), strict=True)),
    )


def draw_actions(expression: str, person: Person, rng: np.random.Generator) -> dict[str, float]:
    """How strongly each muscle acts: a prototype at some intensity, on this person, with some chance."""
    prototypes = PROTOTYPES[expression]
    prototype = prototypes[rng.integers(len(prototypes))]
    intensity = float(rng.uniform(0.35, 1.15))
    noise = rng.normal(0.0, 1.0, 2 * len(ACTIONS)).tolist()
    actions: dict[str, float] = {}
    for i, name in enumerate(ACTIONS):
        strength = prototype.get(name, 0.0) * intensity * (1 + 0.25 * noise[2 * i])
        moved = 0.07 * noise[2 * i + 1] if name in person.rest else 0.0
        actions[name] = strength + moved + person.rest.get(name, 0.0)
    for name in ("tight", "cheek", "wrinkle", "upper", "jaw", "press", "teeth"):
        actions[name] = max(0.0, actions[name])
    return actions


def portrait(expression: str, person: Person, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(112, 112, 3) RGB of one person showing one expression (a name of `mmfrm.classes.DRAWN`)."""
    if expression not in DRAWN:
        raise ValueError(f"{expression!r} is not one of {', '.join(DRAWN)}")
    face = _Face(person, draw_actions(expression, person, rng), rng)
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


class _Face:
    """A canvas, and a second one of light and shadow (128 is neither), that both see the same pose."""

    def __init__(self, person: Person, actions: dict[str, float], rng: np.random.Generator) -> None:
        self.person, self.act, self.rng = person, actions, rng
        self.yaw, self.pitch = float(rng.normal(0, 0.2)), float(rng.normal(0, 0.12))
        self.yaw, self.pitch = np.clip(self.yaw, -0.5, 0.5), np.clip(self.pitch, -0.3, 0.3)
        roll, scale = float(rng.normal(0, 0.1)), _BIG * float(rng.uniform(0.295, 0.365))
        angles = np.array([self.yaw, self.pitch])
        self.cosines, self.sines = np.cos(angles), 0.85 * np.sin(angles)
        self.turn = scale * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        self.middle = np.array([_BIG / 2, _BIG * 0.5]) + rng.normal(0, _BIG * 0.02, 2)
        self.unit = scale
        self.chin = 1.3 * person.jaw_length + 0.16 * min(actions["jaw"], 1.2)
        self.light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.7, 0.2)])
        self.image = Image.new("RGB", (_BIG, _BIG))
        self.pen = ImageDraw.Draw(self.image)
        self.shadow = Image.new("L", (_BIG, _BIG), 128)
        self.shade = ImageDraw.Draw(self.shadow)
        self.solid = Image.new("L", (_BIG, _BIG))  # where the head is

    # ---- from face to pixels

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
        self.shade.polygon(self.on_face(np.array([x, y]) + _UNIT * (rx, ry)), fill=tone)

    def cover(self, pixels: list[float], color: Color) -> None:
        """Something in front of the face: it also hides the shadows behind it."""
        self.pen.polygon(pixels, fill=color)
        self.shade.polygon(pixels, fill=128)

    # ---- from back to front

    def background(self) -> None:
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

    def behind(self) -> None:
        """Long hair, neck, clothes and ears."""
        person = self.person
        if person.style in ("long", "bun"):
            drop = 1.9 if person.style == "long" else 0.4
            back = np.stack([1.24 * _UNIT[:, 0], np.where(_UNIT[:, 1] > 0, drop, 1.5) * _UNIT[:, 1]], axis=1)
            self.pen.polygon(self.flat(back), fill=_dim(person.hair, 0.72))
        if person.style == "bun":
            self.pen.polygon(self.flat(np.array([0.0, -1.55]) + 0.42 * _UNIT), fill=_dim(person.hair, 0.85))
        cloth = _CLOTHES[self.rng.integers(len(_CLOTHES))]
        shoulders = np.array([[-2.6, 3.2], [-2.1, 1.95], [-0.7, 1.6], [0.7, 1.6], [2.1, 1.95], [2.6, 3.2]])
        self.pen.polygon(self.flat(shoulders), fill=cloth)
        neck = np.array([[-0.56, 0.8], [-0.6, 1.75], [0, 1.95], [0.6, 1.75], [0.56, 0.8]])
        self.pen.polygon(self.flat(neck), fill=_dim(person.skin, 0.76))
        for side in (-1, 1):
            ear = np.array([side * (1.0 - side * 0.14 * np.sin(self.yaw)), 0.02]) + _UNIT * (0.15, 0.26)
            self.pen.polygon(self.flat(ear), fill=_dim(person.skin, 0.88))

    def outline(self) -> Points:
        """The silhouette of the head, without hair."""
        x, y = _UNIT[:, 0], _UNIT[:, 1]
        taper = 1 - (0.3 - 0.22 * (self.person.jaw_width - 0.9)) * np.clip(y, 0, 1) ** 1.5
        low = y > 0
        rounded = np.sign(x) * np.where(low, np.abs(x) ** 0.72, np.abs(x) ** 0.9)
        wide = rounded * np.where(low, taper * self.person.jaw_width, 1.0)
        shift = 0.3 * np.sin(self.yaw) * np.clip(y + 0.2, 0, 1)
        return np.stack([0.98 * wide + shift, np.where(low, self.chin, 1.36) * y], axis=1)

    def head(self) -> None:
        silhouette = self.flat(self.outline())
        self.pen.polygon(silhouette, fill=self.person.skin)
        ImageDraw.Draw(self.solid).polygon(silhouette, fill=255)
        for side in (-1, 1):
            self.soft_spot(side * self.person.eye_distance, -0.25, 0.27, 0.19, 0.22)
            lifted = 0.38 - 0.07 * self.act["cheek"]
            self.soft_spot(side * 0.55, lifted, 0.22, 0.16, -0.07 - 0.08 * self.act["cheek"])
        self.soft_spot(0, -0.75, 0.4, 0.22, -0.12)
        self.soft_spot(0, self.chin - 0.17, 0.2, 0.1, -0.1)

    def creases(self) -> None:
        """Lines that expressions, and years, leave in a face."""
        act, age = self.act, 0.55 + 0.45 * self.person.age
        raised = min(act["inner"], 1.0) * 0.6 + min(act["outer"], 1.0) * 0.4
        for k in range(3 if raised > 0.35 else 0):
            half = 0.5 - 0.08 * k
            arc = np.stack([half * _T, -0.78 - 0.11 * k - 0.05 * raised * _BULGE], axis=1)
            self.soft_line(arc, 0.03, 0.42 * raised * age)
        if act["squeeze"] > 0.3:
            for side in (-1, 1):
                frown = np.array([[side * 0.07, -0.62], [side * 0.05, -0.42]])
                self.soft_line(frown, 0.035, 0.6 * act["squeeze"] * age)
        for k in range(3 if act["wrinkle"] > 0.3 else 0):
            line = np.stack([0.13 * _T, -0.2 + 0.1 * k - 0.03 * _BULGE], axis=1)
            self.soft_line(line, 0.03, 0.5 * act["wrinkle"] * age)
        fold = 0.12 * self.person.age + 0.55 * max(act["cheek"], act["upper"] * 0.8, act["wrinkle"] * 0.7)
        corner = self.mouth_corner()
        for side in (-1, 1):
            bow = np.array(
                [[0.2, 0.3], [0.36 + 0.06 * act["cheek"], 0.46], [corner[0] + 0.1, corner[1] - 0.04]]
            )
            self.soft_line(bow * (side, 1), 0.04, min(fold, 0.7) * 0.75)
            if act["cheek"] > 0.55:
                foot = np.array([[0.7, -0.22], [0.8, -0.27], [0.7, -0.18], [0.8, -0.15]]) * (side, 1)
                self.soft_line(foot, 0.02, 0.3 * age)

    def eye(self, side: int) -> None:
        person, act = self.person, self.act
        half = 0.2 * person.eye_size
        opened = 1 + 0.75 * act["open"] - 0.42 * act["tight"] - 0.2 * act["cheek"] + self.rng.normal(0, 0.05)
        up = half * max(0.08, 0.62 * opened)
        down = half * max(0.06, 0.38 * (1 + 0.2 * act["open"] - 0.5 * act["tight"] - 0.75 * act["cheek"]))
        x = side * person.eye_distance + half * _T
        outwards = side * _T
        droop = 0.16 * half * (-outwards) + half * 0.3 * max(0.0, -act["open"]) * np.clip(outwards, 0, 1)
        sag = half * 0.25 * max(0.0, act["inner"] - act["outer"] - 0.4) * outwards
        y = -0.22 + droop + sag
        upper, lower = y - up * _BULGE**0.75, y + down * _BULGE**0.8
        lids = np.concatenate([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]])
        self.pen.polygon(self.on_face(lids), fill=(236, 230, 226))
        gaze = np.array([self.gaze[0] * 0.06, self.gaze[1] * 0.03])
        centre = np.array([side * person.eye_distance, -0.24]) + gaze
        for radius, color in ((0.112, _dim(person.iris, 0.7)), (0.095, person.iris), (0.045, (14, 12, 12))):
            self.pen.polygon(self.on_face(self._within(centre + radius * _UNIT, x, upper, lower)), fill=color)
        glint = self._within(centre + (-0.03, -0.04) + 0.02 * _UNIT, x, upper, lower)
        self.pen.polygon(self.on_face(glint), fill=(250, 250, 250))
        self.pen.line(
            self.on_face(np.stack([x, upper], 1)), fill=_dim(person.skin, 0.28), width=self.width(0.035)
        )
        self.pen.line(
            self.on_face(np.stack([x, lower], 1)), fill=_dim(person.skin, 0.6), width=self.width(0.012)
        )
        self.soft_line(np.stack([x, upper - 0.06], 1), 0.03, 0.3)
        bag = 0.18 + 0.35 * act["cheek"] + 0.25 * act["tight"]
        self.soft_line(np.stack([x, lower + 0.06], 1), 0.035, min(bag, 0.5) * 0.8)

    @property
    def gaze(self) -> Points:
        """Where the person looks: mostly at the camera, against the turn of the head."""
        if not hasattr(self, "_gaze"):
            self._gaze = np.clip(self.rng.normal(0, 0.5, 2) - (2 * self.yaw, 0), -1, 1)
        return self._gaze

    @staticmethod
    def _within(points: Points, x: Points, upper: Points, lower: Points) -> Points:
        """Points kept between the lids (or the lips): clipping without masks."""
        px = np.clip(points[:, 0], x[0], x[-1])
        top, bottom = np.interp(px, x, upper), np.interp(px, x, lower)
        return np.stack([px, np.clip(points[:, 1], top, bottom)], axis=1)

    def brow(self, side: int) -> None:
        person, act = self.person, self.act
        uneven = self.rng.normal(0, 0.02)
        lift = -0.5 - 0.5 * person.brow_height + uneven
        inner = np.array([0.17 - 0.08 * act["squeeze"], lift - 0.15 * act["inner"] + 0.03 * act["squeeze"]])
        middle = np.array([0.45, lift - 0.1 - 0.07 * act["inner"] - 0.1 * act["outer"]])
        outer = np.array([0.72, lift + 0.03 - 0.15 * act["outer"]])
        t = (_T + 1) / 2
        curve = (
            np.outer((1 - t) ** 2, inner)
            + np.outer(2 * t * (1 - t), 2 * middle - (inner + outer) / 2)
            + np.outer(t**2, outer)
        )
        thick = 0.05 * person.brow_weight * (1.15 - t) ** 0.6
        above, below = curve - np.stack([0 * t, thick], 1), curve + np.stack([0 * t, thick * 0.7], 1)
        strip = np.concatenate([above, below[::-1]]) * (side, 1)
        self.pen.polygon(self.on_face(strip), fill=_mix(_dim(person.hair, 0.7), person.skin, 0.12))

    def nose(self) -> None:
        person, act = self.person, self.act
        width, tip = 0.155 * person.nose_width, 0.3 * person.nose_length - 0.04 * act["wrinkle"]
        away = -1.0 if self.light[0] > 0 else 1.0
        side = np.array([[away * 0.08, -0.2], [away * 0.1, 0.1], [away * width, tip]])
        self.soft_line(side, 0.07, 0.34)
        self.soft_line(np.array([[0.0, -0.25], [0.0, tip - 0.06]]), 0.08, -0.3)
        self.soft_spot(0, tip - 0.03, 0.08, 0.06, -0.35)
        base = np.stack([width * _T, tip + 0.07 * _BULGE + 0.02], axis=1)
        self.soft_line(base, 0.05, 0.5)
        for s in (-1, 1):
            hole = np.array([s * width * 0.52, tip + 0.055]) + _UNIT * (0.05, 0.026)
            self.pen.polygon(self.on_face(hole), fill=_dim(person.skin, 0.34))
            flare = 1.08 + 0.2 * act["wrinkle"]
            wing = np.array(
                [[s * width * 0.9, tip - 0.1], [s * width * flare, tip], [s * width * 0.9, tip + 0.06]]
            )
            self.soft_line(wing, 0.03, 0.42)

    def mouth_corner(self) -> tuple[float, float]:
        """x and y of the right corner of the mouth."""
        act = self.act
        half = 0.36 * self.person.mouth_width * (
            1 + 0.28 * act["width"] + 0.18 * max(0.0, act["smile"]) - 0.12 * act["jaw"]
        )  # fmt: skip
        return half, 0.74 - 0.15 * act["smile"] + 0.05 * act["jaw"]

    def mouth(self) -> None:
        person, act = self.person, self.act
        half, corner_y = self.mouth_corner()
        x = half * _T
        line = 0.74 + (corner_y - 0.74) * _T**2 + 0.03 * max(0.0, act["smile"]) * _BULGE
        line = line + 0.02 * self.rng.normal() * _T  # nobody is symmetric
        gap = 0.36 * act["jaw"] * _BULGE**0.65
        lifted = 0.11 * act["upper"] * _BULGE**0.5
        bite = 0.05 * act["teeth"] * _BULGE**0.6
        top_in = line - 0.22 * gap - lifted - bite
        low_in = line + 0.78 * gap + bite
        full = person.lip_weight * (1 - 0.65 * min(act["press"], 1.2))
        bow = 1 - 0.3 * np.exp(-((_T / 0.16) ** 2))
        top_out = top_in - 0.085 * full * _BULGE**0.8 * bow - 0.008
        low_out = low_in + 0.125 * full * _BULGE**0.7 + 0.008
        self._lips(x, top_out, top_in, low_in, low_out)
        self.soft_line(np.stack([0.6 * x, low_out + 0.06], 1), 0.06, 0.3 + 0.2 * max(0.0, -act["smile"]))
        for side in (-1, 1):
            self.soft_spot(side * (half + 0.02), corner_y, 0.045, 0.04, 0.4)

    def _lips(self, x: Points, top_out: Points, top_in: Points, low_in: Points, low_out: Points) -> None:
        person, act = self.person, self.act

        def between(above: Points, below: Points, color: Color) -> None:
            ring = np.concatenate([np.stack([x, above], 1), np.stack([x, below], 1)[::-1]])
            self.pen.polygon(self.on_face(ring), fill=color)

        between(top_in, low_in, (58, 18, 22))
        if act["teeth"] > 0.15:
            between(top_in, np.minimum(low_in, top_in + 0.12 * min(act["teeth"], 1.0)), (238, 232, 220))
        if act["jaw"] > 0.5:
            between(np.maximum(top_in, low_in - 0.1 * _BULGE**2), low_in, (164, 78, 84))
        between(top_out, top_in, _dim(person.lips, 0.86))
        between(low_in, low_out, person.lips)
        if act["jaw"] + act["teeth"] + act["upper"] < 0.4:
            closed = np.stack([x, (top_in + low_in) / 2], 1)
            self.pen.line(self.on_face(closed), fill=_dim(person.lips, 0.45), width=self.width(0.025))

    def facial_hair(self) -> None:
        person = self.person
        if person.beard <= 0:
            return
        color = _mix(person.skin, _dim(person.hair, 0.9), 0.25 + 0.55 * person.beard)
        half, corner_y = self.mouth_corner()
        low = self.outline()
        low = low[low[:, 1] > 0.1]
        low = low[np.argsort(low[:, 0])]
        drop = 0.36 * self.act["jaw"]
        inner_y = np.maximum(0.1, corner_y + 0.22 + 0.75 * drop - 0.5 * (low[:, 0] / 0.9) ** 2)
        inner = np.stack([0.86 * low[:, 0], np.minimum(inner_y, low[:, 1] - 0.05)], axis=1)
        self.pen.polygon(self.flat(np.concatenate([low, inner[::-1]])), fill=color)
        top = 0.53 - 0.1 * self.act["upper"] - 0.06 * self.act["teeth"] + 0.03 * _T**2
        sides = np.stack([1.08 * half * _T, top + 0.04 + (corner_y - 0.62) * _T**2], 1)
        upper = np.stack([0.9 * half * _T, top - 0.05 + (corner_y - 0.66) * _T**2], 1)
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
                self.cover(self.flat(lock), _dim(person.hair, 0.92))
        for k in range(12):  # strands
            a, b = crown[2 + k], hairline[13 - k]
            tint = _mix(person.hair, (255, 255, 255) if k % 2 else (0, 0, 0), float(rng.uniform(0.05, 0.2)))
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
        squared = np.sign(_UNIT) * np.abs(_UNIT) ** 0.7
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
            finger = np.concatenate([[root - across], tip + 0.085 * _UNIT[14:], [root + across]])
            self.cover(self.flat(finger), _dim(self.person.skin, 0.98 - 0.05 * (k % 2)))

    def _scarf(self) -> None:
        color = _CLOTHES[self.rng.integers(len(_CLOTHES))]
        top = self.rng.uniform(0.55, 0.95)
        edge = np.stack([1.25 * _T, top + 0.18 * _T**2 + 0.03 * np.sin(7 * _T)], axis=1)
        self.cover(self.flat(np.concatenate([edge, [[1.5, 2.4], [-1.5, 2.4]]])), color)
        fold = edge * (0.9, 1) + (0.0, 0.25)
        self.pen.line(self.flat(fold), fill=_dim(color, 0.8), width=self.width(0.05))

    def _cap(self) -> None:
        color = _CLOTHES[self.rng.integers(len(_CLOTHES))]
        arc = np.linspace(np.pi, 2 * np.pi, 19)
        dome = np.stack([1.14 * np.cos(arc), -0.62 + 1.05 * np.sin(arc)], axis=1)
        low = self.rng.uniform(-0.68, -0.5)
        brim = np.stack([1.16 * -_T, low - 0.08 * _BULGE], axis=1)
        self.cover(self.flat(np.concatenate([dome, brim])), color)
        band = np.concatenate([brim, brim[::-1] - np.array([0, 0.22])])
        self.cover(self.flat(band), _dim(color, 0.82))

    # ---- the photograph

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
        grain = rng.standard_normal((SIDE, SIDE, 1), dtype=np.float32) * np.float32(rng.gamma(1.6, 2.4))
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
    if chance < 0.2:  # a small picture, made large
        small = int(rng.integers(40, 72))
        image = image.resize((small, small), Image.Resampling.BILINEAR)
        image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    elif chance < 0.55:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 1.5))))
    return np.asarray(image, np.float32)


def _mix(a: Color, b: Color, share: float) -> Color:
    """`share` of b in a."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def _dim(color: Color, share: float) -> Color:
    return _mix((0, 0, 0), color, share)
