"""Faces are selected by keyboard, changed, undone, and become a new version while one looks."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Furnished

pytestmark = pytest.mark.browser

DRAW = """
from webapp.accounts.models import User
from webapp.datasets import services
print(services.draw(User.objects.get(username="ada"), count=60).pk)
"""
IS_IN_SIGHT = """() => {
  const face = document.activeElement;
  const { left, width, top, bottom } = face.getBoundingClientRect();
  return [top + 8, bottom - 8].every((y) => face.contains(document.elementFromPoint(left + width / 2, y)));
}"""
# Faces that came anew are taken in by htmx a moment after they are shown; until then their form is a plain
# one, which brings a whole new page, and that hears keys only when its scripts have come.
IS_SETTLED = "() => !document.querySelector('.htmx-added')"


def test_faces_are_selected_by_keyboard_and_become_a_new_version(
    signed_in: Page, furnished: Furnished
) -> None:
    page = signed_in
    pk = int(furnished.product.query(DRAW).strip().splitlines()[-1])
    page.goto(f"{furnished.url}/datasets/{pk}/")
    expect(page.get_by_role("link", name=re.compile("^Faces"))).to_be_visible(timeout=180_000)
    page.goto(f"{furnished.url}/datasets/{pk}/v1/faces/")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    count = page.locator(".select-count")
    expect(count).to_have_text("3 selected")
    page.keyboard.press("e")
    pending = page.locator(".pending-words")
    expect(pending).to_have_text("3 left out")
    page.wait_for_function(IS_SETTLED)
    page.locator(".sample-grid a").nth(5).focus()
    page.keyboard.press("x")
    page.keyboard.press("2")
    expect(pending).to_have_text("3 left out, 1 relabelled")
    page.wait_for_function(IS_SETTLED)
    page.keyboard.press("z")
    expect(pending).to_have_text("3 left out")
    page.locator(".sample-grid a").first.focus()
    for _ in range(10):
        page.keyboard.press("ArrowDown")
        page.wait_for_function(IS_IN_SIGHT)  # above the bar, not behind it
    page.get_by_label("Why").fill("Too dark")
    page.get_by_role("button", name="Make a new version").click()
    page.wait_for_url("**/v2/")
    expect(page.get_by_role("link", name=re.compile("^Faces"))).to_contain_text("57", timeout=180_000)
    expect(page.get_by_text("Too dark").first).to_be_attached()
