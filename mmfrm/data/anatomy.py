"""The parts of a drawn face, as its muscles pull them: head, eyes, brows, nose, mouth, creases."""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from mmfrm.data.canvas import UNIT, Canvas, Points
from mmfrm.data.people import CLOTHES, Color, Person, dim, mix

T = np.linspace(-1.0, 1.0, 17)  # along a line, from its left to its right end
BULGE = 1.0 - T**2


class Face(Canvas):
    """Draws one person, whose muscles act as `actions` say (names of `mmfrm.data.people.ACTIONS`)."""

    def __init__(self, person: Person, actions: dict[str, float], rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.person, self.act = person, actions
        self.chin = 1.3 * person.jaw_length + 0.16 * min(actions["jaw"], 1.2)

    def behind(self) -> None:
        """Long hair, neck, clothes and ears."""
        person = self.person
        if person.style in ("long", "bun"):
            drop = 1.9 if person.style == "long" else 0.4
            back = np.stack([1.24 * UNIT[:, 0], np.where(UNIT[:, 1] > 0, drop, 1.5) * UNIT[:, 1]], axis=1)
            self.pen.polygon(self.flat(back), fill=dim(person.hair, 0.72))
        if person.style == "bun":
            self.pen.polygon(self.flat(np.array([0.0, -1.55]) + 0.42 * UNIT), fill=dim(person.hair, 0.85))
        cloth = CLOTHES[self.rng.integers(len(CLOTHES))]
        shoulders = np.array([[-2.6, 3.2], [-2.1, 1.95], [-0.7, 1.6], [0.7, 1.6], [2.1, 1.95], [2.6, 3.2]])
        self.pen.polygon(self.flat(shoulders), fill=cloth)
        neck = np.array([[-0.56, 0.8], [-0.6, 1.75], [0, 1.95], [0.6, 1.75], [0.56, 0.8]])
        self.pen.polygon(self.flat(neck), fill=dim(person.skin, 0.76))
        for side in (-1, 1):
            ear = np.array([side * (1.0 - side * 0.14 * np.sin(self.yaw)), 0.02]) + UNIT * (0.15, 0.26)
            self.pen.polygon(self.flat(ear), fill=dim(person.skin, 0.88))

    def outline(self) -> Points:
        """The silhouette of the head, without hair."""
        x, y = UNIT[:, 0], UNIT[:, 1]
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
            arc = np.stack([half * T, -0.78 - 0.11 * k - 0.05 * raised * BULGE], axis=1)
            self.soft_line(arc, 0.03, 0.42 * raised * age)
        if act["squeeze"] > 0.3:
            for side in (-1, 1):
                frown = np.array([[side * 0.07, -0.62], [side * 0.05, -0.42]])
                self.soft_line(frown, 0.035, 0.6 * act["squeeze"] * age)
        for k in range(3 if act["wrinkle"] > 0.3 else 0):
            line = np.stack([0.13 * T, -0.2 + 0.1 * k - 0.03 * BULGE], axis=1)
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
        x = side * person.eye_distance + half * T
        outwards = side * T
        droop = 0.16 * half * (-outwards) + half * 0.3 * max(0.0, -act["open"]) * np.clip(outwards, 0, 1)
        sag = half * 0.25 * max(0.0, act["inner"] - act["outer"] - 0.4) * outwards
        y = -0.22 + droop + sag
        upper, lower = y - up * BULGE**0.75, y + down * BULGE**0.8
        lids = np.concatenate([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]])
        self.pen.polygon(self.on_face(lids), fill=(236, 230, 226))
        gaze = np.array([self.gaze[0] * 0.06, self.gaze[1] * 0.03])
        centre = np.array([side * person.eye_distance, -0.24]) + gaze
        for radius, color in ((0.112, dim(person.iris, 0.7)), (0.095, person.iris), (0.045, (14, 12, 12))):
            self.pen.polygon(self.on_face(self._within(centre + radius * UNIT, x, upper, lower)), fill=color)
        glint = self._within(centre + (-0.03, -0.04) + 0.02 * UNIT, x, upper, lower)
        self.pen.polygon(self.on_face(glint), fill=(250, 250, 250))
        self.pen.line(
            self.on_face(np.stack([x, upper], 1)), fill=dim(person.skin, 0.28), width=self.width(0.035)
        )
        self.pen.line(
            self.on_face(np.stack([x, lower], 1)), fill=dim(person.skin, 0.6), width=self.width(0.012)
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
        t = (T + 1) / 2
        curve = (
            np.outer((1 - t) ** 2, inner)
            + np.outer(2 * t * (1 - t), 2 * middle - (inner + outer) / 2)
            + np.outer(t**2, outer)
        )
        thick = 0.05 * person.brow_weight * (1.15 - t) ** 0.6
        above, below = curve - np.stack([0 * t, thick], 1), curve + np.stack([0 * t, thick * 0.7], 1)
        strip = np.concatenate([above, below[::-1]]) * (side, 1)
        self.pen.polygon(self.on_face(strip), fill=mix(dim(person.hair, 0.7), person.skin, 0.12))

    def nose(self) -> None:
        person, act = self.person, self.act
        width, tip = 0.155 * person.nose_width, 0.3 * person.nose_length - 0.04 * act["wrinkle"]
        away = -1.0 if self.light[0] > 0 else 1.0
        side = np.array([[away * 0.08, -0.2], [away * 0.1, 0.1], [away * width, tip]])
        self.soft_line(side, 0.07, 0.34)
        self.soft_line(np.array([[0.0, -0.25], [0.0, tip - 0.06]]), 0.08, -0.3)
        self.soft_spot(0, tip - 0.03, 0.08, 0.06, -0.35)
        base = np.stack([width * T, tip + 0.07 * BULGE + 0.02], axis=1)
        self.soft_line(base, 0.05, 0.5)
        for s in (-1, 1):
            hole = np.array([s * width * 0.52, tip + 0.055]) + UNIT * (0.05, 0.026)
            self.pen.polygon(self.on_face(hole), fill=dim(person.skin, 0.34))
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
        x = half * T
        line = 0.74 + (corner_y - 0.74) * T**2 + 0.03 * max(0.0, act["smile"]) * BULGE
        line = line + 0.02 * self.rng.normal() * T  # nobody is symmetric
        gap = 0.36 * act["jaw"] * BULGE**0.65
        lifted = 0.11 * act["upper"] * BULGE**0.5
        bite = 0.05 * act["teeth"] * BULGE**0.6
        top_in = line - 0.22 * gap - lifted - bite
        low_in = line + 0.78 * gap + bite
        full = person.lip_weight * (1 - 0.65 * min(act["press"], 1.2))
        bow = 1 - 0.3 * np.exp(-((T / 0.16) ** 2))
        top_out = top_in - 0.085 * full * BULGE**0.8 * bow - 0.008
        low_out = low_in + 0.125 * full * BULGE**0.7 + 0.008
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
            between(np.maximum(top_in, low_in - 0.1 * BULGE**2), low_in, (164, 78, 84))
        between(top_out, top_in, dim(person.lips, 0.86))
        between(low_in, low_out, person.lips)
        if act["jaw"] + act["teeth"] + act["upper"] < 0.4:
            closed = np.stack([x, (top_in + low_in) / 2], 1)
            self.pen.line(self.on_face(closed), fill=dim(person.lips, 0.45), width=self.width(0.025))
