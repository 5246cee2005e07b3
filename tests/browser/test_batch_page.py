"""The page of a batch: its faces are replaced, and the keyboard, what was typed and the window's ear stay."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Furnished, wait_listening
from tests.browser.test_review import FILL
from tests.browser.test_review_ends import ANOTHER, UNFINISHED

pytestmark = pytest.mark.browser
FACES, MANY = 4, 70  # of a batch with one page, and of one with two

# What hears of the window's size.
COUNT_RESIZING = """(() => {
  const heard = window.resizing = new Set();
  const { addEventListener: add, removeEventListener: drop } = window;
  window.addEventListener = (kind, listener, ...more) => {
    if (kind === "resize") heard.add(listener);
    add.call(window, kind, listener, ...more);
  };
  window.removeEventListener = (kind, listener, ...more) => {
    if (kind === "resize") heard.delete(listener);
    drop.call(window, kind, listener, ...more);
  };
})()"""
IS_DRAWN_ANEW = """() => {
  const chart = document.getElementById("class-chart");
  return chart !== window.had && chart?.classList.contains("js-plotly-plot");
}"""


@pytest.fixture(scope="module")
def batches(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """The keys of four batches, the last one with many faces."""
    folder = tmp_path_factory.mktemp("drawn")
    said = furnished.product.query(FILL.format(folder=folder, faces=FACES, most=MANY))
    keys: list[int] = json.loads(said.strip().splitlines()[-1])[0]
    return keys


def open_batch(page: Page, furnished: Furnished, batch: int) -> None:
    page.goto(f"{furnished.url}/labeling/{batch}/")
    page.locator("#class-chart.js-plotly-plot").wait_for()


def test_charts_that_were_replaced_no_longer_hear_of_the_windows_size(
    signed_in: Page, furnished: Furnished, batches: list[int]
) -> None:
    page = signed_in
    page.add_init_script(COUNT_RESIZING)
    open_batch(page, furnished, batches[0])
    hearing = page.evaluate("window.resizing.size")
    assert hearing > 0
    for order in (1, 0, 1):
        page.evaluate("window.had = document.getElementById('class-chart')")
        page.get_by_label("Order").select_option(index=order)
        page.wait_for_function(IS_DRAWN_ANEW)
    assert page.evaluate("window.resizing.size") == hearing


def test_the_keyboard_stays_where_it_is_while_faces_come(
    signed_in: Page, furnished: Furnished, batches: list[int]
) -> None:
    page, batch = signed_in, batches[1]
    furnished.product.query(UNFINISHED.format(batch=batch))
    open_batch(page, furnished, batch)
    cards = page.locator(".face-card")
    for count, element in enumerate(
        (page.locator("[data-select='1']"), page.get_by_role("link", name="table"))
    ):
        element.focus()
        furnished.product.query(ANOTHER.format(batch=batch))
        expect(cards).to_have_count(FACES + count + 1)
        expect(element).to_be_focused()


def test_the_keyboard_stays_in_the_pager_when_another_page_comes(
    signed_in: Page, furnished: Furnished, batches: list[int]
) -> None:
    page = signed_in
    open_batch(page, furnished, batches[-1])
    page.evaluate("window.had = document.getElementById('faces')")
    pages = page.get_by_role("navigation", name="Pages")
    second = pages.get_by_role("link", name="2", exact=True)
    second.press("Enter")
    expect(pages.locator("[aria-current]")).to_have_text("2")
    expect(second).to_be_focused()
    assert page.evaluate("window.had.isConnected") is False, "the page itself is the same"


def test_letters_that_are_typed_while_an_answer_is_on_its_way_are_asked_for_as_well(
    signed_in: Page, furnished: Furnished, batches: list[int]
) -> None:
    page, held = signed_in, list[Route]()

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        held.append(route)

    open_batch(page, furnished, batches[2])
    page.route(re.compile(r"/labeling/\d+/\?"), hold_the_first)
    text = page.get_by_label("File name")
    text.press_sequentially("00")
    wait_listening(page, lambda: bool(held), "the first letters are asked for")
    text.press("2")
    held[0].continue_()
    expect(page.locator(".face-card")).to_have_count(1)
    expect(text).to_have_value("002")
    expect(text).to_be_focused()
