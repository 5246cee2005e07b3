"""The colours of the house: fixed expressions that everybody can tell apart, text that can be read."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from numpy.typing import NDArray

from mmfrm.classes import EXPRESSIONS
from webapp.templatetags.house import (
    AGO_STEPS,
    STATE_ICONS,
    duration,
    expression_slot,
    number,
    percent,
    rate,
    size,
    spoken_ago,
)

CSS = "".join(
    (Path(settings.BASE_DIR) / f"static/css/{name}.css").read_text() for name in ("tokens", "parts")
)
Vector = NDArray[np.float64]

# Machado, Oliveira and Fernandes 2009, severity 1, in linear RGB: what people see who lack a kind of cone.
VISION = {
    "all three cones": np.eye(3),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ]),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
    ]),
    "tritanopia": np.array([
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900],
    ]),
}  # fmt: skip
# Ottosson 2020: linear RGB to Oklab.
TO_LMS = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
TO_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


def tokens(theme: str) -> dict[str, str]:
    """The colours of a theme: those of :root, and in the dark what it redefines."""
    light, dark = (re.search(rf"{re.escape(head)} {{(.*?)\n}}", CSS, re.S) for head in HEADS)
    assert light
    assert dark
    found = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", light[1]))
    return found | (dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", dark[1])) if theme == "dark" else {})


HEADS = (":root", '[data-bs-theme="dark"]')


def linear(colour: str) -> Vector:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    bright, dark = sorted(
        (float(linear(c) @ np.array([0.2126, 0.7152, 0.0722])) for c in (one, other)), reverse=True
    )
    return (bright + 0.05) / (dark + 0.05)


def seen(colour: str, vision: str) -> Vector:
    """In Oklab, as somebody sees it."""
    light = np.clip(VISION[vision] @ linear(colour), 0, 1)
    lab: Vector = TO_LAB @ np.cbrt(TO_LMS @ light)
    return lab


@pytest.mark.parametrize("vision", VISION)
def test_any_two_expressions_can_be_told_apart(vision: str) -> None:
    colours = {name: tokens("light")[f"--expression-{name}"] for name in EXPRESSIONS}
    for one, other in itertools.combinations(EXPRESSIONS, 2):
        distance = np.linalg.norm(seen(colours[one], vision) - seen(colours[other], vision))
        assert distance > 0.095, f"{one} and {other}"  # a step just noticed is about 0.02


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_expressions_stand_out_from_the_ground(theme: str) -> None:
    for name in EXPRESSIONS:
        assert contrast(tokens(theme)[f"--expression-{name}"], tokens(theme)["--surface"]) > 2.35, name


def test_expressions_have_the_same_colours_in_the_dark() -> None:
    for name in EXPRESSIONS:
        assert tokens("dark")[f"--expression-{name}"] == tokens("light")[f"--expression-{name}"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_every_ground_it_stands_on(theme: str) -> None:
    colour = tokens(theme)
    for ink in ("--ink", "--ink-soft", "--accent"):
        for ground in ("--surface", "--ground", "--surface-sunken"):
            assert contrast(colour[ink], colour[ground]) >= 4.5, f"{ink} on {ground}"
    for tone in ("good", "caution", "bad"):
        assert contrast(colour[f"--{tone}"], colour[f"--{tone}-wash"]) >= 4.5, tone
        assert contrast(colour[f"--{tone}"], colour["--surface"]) >= 4.5, tone
    assert contrast(colour["--accent-ink"], colour["--accent"]) >= 4.5
    assert contrast(colour["--accent-strong"], colour["--accent-wash"]) >= 4.5


def test_the_script_knows_every_expression_by_another_mark_too() -> None:
    charts = (Path(settings.BASE_DIR) / "static/js/charts.js").read_text()
    symbols = dict(re.findall(r'(\w+): "([\w-]+)"', re.search(r"SYMBOLS = {(.*?)}", charts, re.S)[1]))  # type: ignore[index]
    assert set(EXPRESSIONS) <= set(symbols)
    assert len({symbols[name] for name in EXPRESSIONS}) == len(EXPRESSIONS)


@pytest.mark.parametrize(
    ("name", "slot"),
    [("happiness", "happiness"), ("Happy", "happiness"), ("3_angry", "anger"), ("yawning", "unknown")],
)
def test_a_badge_knows_an_expression_under_its_other_names(name: str, slot: str) -> None:
    assert expression_slot(name) == slot


def test_every_state_has_an_icon_and_a_colour() -> None:
    for state in STATE_ICONS:
        if state != "queued":  # the plain one
            assert f'.state[data-state="{state}"]' in CSS


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (9, "just now"), (42, "42 seconds ago"), (60, "1 minute ago"), (3599, "59 minutes ago"),
     (86_400, "1 day ago"), (40 * 86_400, "1 month ago"), (800 * 86_400, "2 years ago"),
     (-7200, "in 2 hours")],
)  # fmt: skip
def test_times_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert spoken_ago(seconds) == words
    assert AGO_STEPS[-1][0] == float("inf")


def test_figures_are_written_alike_everywhere() -> None:
    assert [duration(s) for s in (None, 0, 59.6, 200, 7525, 360_000)] == [
        "–", "0 s", "1 min", "3 min 20 s", "2 h 5 min", "4 d 4 h",
    ]  # fmt: skip
    assert [number(None), number(35_710), number(0.03127, 4)] == ["–", "35,710", "0.0313"]
    assert [percent(None), percent(0.8312), percent(1, 0)] == ["–", "83.1 %", "100 %"]
    assert [rate(73.44), rate(812.3)] == ["73.4", "812"]
    assert [size(n) for n in (None, 0, 999, 95_400_000, 5.6e9, 2.5e12)] == [
        "–", "0 B", "999 B", "95.4 MB", "5.6 GB", "2.5 TB",
    ]  # fmt: skip
