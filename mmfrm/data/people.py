"""Drawn people, and what their faces do. numpy alone.

Expressions follow the facial action coding system (Ekman and Friesen; EMFACS prototypes).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

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
CLOTHES: tuple[Color, ...] = (
    (52, 73, 94), (120, 60, 66), (66, 104, 86), (200, 196, 186), (42, 42, 48), (150, 120, 84), (88, 84, 130),
)  # fmt: skip


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
    skin = mix(_SKINS[int(tone)], _SKINS[min(int(tone) + 1, len(_SKINS) - 1)], tone % 1)
    dark = tone > 3.5
    hair = _HAIRS[rng.integers(0, 3) if dark and rng.random() < 0.95 else rng.integers(0, len(_HAIRS))]
    styles = ("bald", "short", "fringe", "side", "long", "bun")
    style = str(rng.choice(styles, p=(0.08, 0.27, 0.16, 0.17, 0.22, 0.10)))
    bearded = style in ("bald", "short", "side") and rng.random() < 0.4
    lips = mix(mix(skin, (176, 66, 70), rng.uniform(0.35, 0.75)), (90, 30, 34), 0.25 if dark else 0.0)
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
    intensity = float(rng.uniform(0.5, 1.2))
    noise = rng.normal(0.0, 1.0, 2 * len(ACTIONS)).tolist()
    actions: dict[str, float] = {}
    for i, name in enumerate(ACTIONS):
        strength = prototype.get(name, 0.0) * intensity * (1 + 0.25 * noise[2 * i])
        moved = 0.07 * noise[2 * i + 1] if name in person.rest else 0.0
        actions[name] = strength + moved + person.rest.get(name, 0.0)
    for name in ("tight", "cheek", "wrinkle", "upper", "jaw", "press", "teeth"):
        actions[name] = max(0.0, actions[name])
    return actions


def mix(a: Color, b: Color, share: float) -> Color:
    """`share` of b in a."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def dim(color: Color, share: float) -> Color:
    """`share` of a colour, the rest black."""
    return mix((0, 0, 0), color, share)
