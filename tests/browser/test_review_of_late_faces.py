"""Reviewing where faces are late, and where there is little room for them."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Furnished, wait_listening
from tests.browser.test_review import kept
from tests.browser.test_review_in_photos import FILL
from tests.conftest import SLOW_SECONDS
from tests.product import wait_until

pytestmark = pytest.mark.browser
NEXT = "**/review/next"
LOW = ((844, 390), (911, 512))  # a telephone on its side; 1366 by 768 at 150 %


@pytest.fixture
def batch(furnished: Furnished) -> int:
    """The key of a batch of five faces."""
    return int(furnished.product.query(FILL).strip().splitlines()[-1])


def test_while_the_next_face_is_late_none_is_shown_nor_answered_and_it_is_asked_for_again(
    signed_in: Page, furnished: Furnished, batch: int, console_errors: list[str]
) -> None:
    page, asked = signed_in, list[Route]()

    def lend_two(route: Route) -> None:
        asked.append(route)
        if len(asked) > 1:
            route.abort()
        else:
            wanted = route.request.post_data_json or {}
            route.continue_(post_data=json.dumps(wanted | {"count": 2}))

    page.route(NEXT, lend_two)
    page.goto(f"{furnished.url}/labeling/{batch}/review/")
    stage, picture = page.locator("[data-review-stage]"), page.locator("[data-review-picture] img")
    for index in ("0", "1"):
        expect(stage).to_have_attribute("data-index", index)
        page.keyboard.press("2")
    expect(page.locator("[data-review-file]")).to_have_text("Fetching faces…")
    expect(picture).to_have_count(0)
    page.keyboard.press("1")  # somebody is impatient
    tried = len(asked)
    wait_listening(page, lambda: len(asked) > tried + 2, "it is asked for again and again")
    page.unroute(NEXT)
    expect(stage).to_have_attribute("data-index", "2")
    expect(picture).to_have_js_property("naturalWidth", 112)
    answers = {0: ("label", 1), 1: ("label", 1)}
    wait_until(lambda: kept(furnished, batch) == answers, SLOW_SECONDS, "two are answered, and no other")
    console_errors.clear()  # what could not be fetched meanwhile


def test_the_face_is_large_enough_to_be_judged_on_a_low_window(
    signed_in: Page, furnished: Furnished, batch: int
) -> None:
    page = signed_in
    page.goto(f"{furnished.url}/labeling/{batch}/review/")
    face = page.locator("[data-review-picture] img")
    for width, height in LOW:
        page.set_viewport_size({"width": width, "height": height})
        expect(face).to_be_visible()
        box = face.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 150, f"at {width} by {height}"
