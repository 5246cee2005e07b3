"""A run is steered by keyboard: the order waits on the page, then holds, and is marked on the charts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Furnished
from tests.feeder import Feeder

pytestmark = pytest.mark.browser
LABELS = "() => document.querySelector('[data-chart=loss]')?.layout?.annotations?.map((a) => a.text)"
# The forms are fetched anew each time: what had been typed into those of the last time would go with them.
ARE_FRESH = """() => document.querySelector("#steer-body form")
  && !document.querySelector("#steer-run.htmx-request, #steer-body .htmx-added")"""


def test_a_note_and_an_order_by_keyboard(signed_in: Page, furnished: Furnished) -> None:
    page, keys = signed_in, signed_in.keyboard
    with Feeder(furnished.product.env) as feeder:
        run = feeder.do("start steered")["run"]
        feeder.do("epoch 0")
        page.goto(f"{furnished.url}/experiments/runs/{run}/")
        steer = page.get_by_role("button", name="Steer")
        steer.focus()
        keys.press("Enter")
        page.wait_for_function(ARE_FRESH)
        note = page.get_by_role("form", name="Note").get_by_label("What you want to remember")
        note.focus()
        keys.type("lamp moved")
        keys.press("Enter")
        expect(page.locator("#steer")).to_be_hidden()
        page.wait_for_function(f"() => ({LABELS})()?.includes('lamp moved')")
        steer.focus()
        keys.press("Enter")
        page.wait_for_function(ARE_FRESH)
        page.get_by_role("form", name="Stop after an epoch").get_by_label("Epoch").focus()
        keys.press("Enter")
        expect(page.locator("#run-head")).to_contain_text("Stop after epoch 2: when that epoch has ended.")
        expect(page.locator("#history")).to_contain_text(re.compile("Note at epoch 2: lamp moved.*by ada"))
        page.get_by_role("button", name="Take it back").focus()
        keys.press("Enter")
        expect(page.locator("#history")).to_contain_text("Not so: Stop after epoch 2")
        expect(page.locator("#run-head")).not_to_contain_text("Stop after epoch 2")
