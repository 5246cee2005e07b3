"""Every page, wide and narrow, light and dark: fits, can be read, names everything, shows no error."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from django.urls import reverse
from playwright.sync_api import Page

from tests.browser.conftest import Furnished
from tests.webapp.access_table import TABLE

# What page_checks.js does not know: axe-core's rules of serious or critical impact. Not Plotly's drawings.
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
SERIOUS = """rules => axe.run(
  { exclude: [[".main-svg"]] }, { resultTypes: ["violations"], ...(rules ? { runOnly: rules } : {}) },
).then((found) => found.violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 120)).join(" | ")}`))"""
CHECKS = Path(__file__).with_name("page_checks.js").read_text()
SIZES = ((1440, 900), (390, 844), (844, 390))
# Answers that are no pages: data, files, parts of pages, and redirects.
NO_PAGES = {
    "activity", "health", "service_worker", "accounts:use_link", "accounts:welcome", "jobs:queue",
    "datasets:pixels", "datasets:preview_picture", "datasets:refusals_csv", "experiments:latest",
    "experiments:table", "experiments:comparison", "experiments:curves", "experiments:run_head",
    "experiments:run_results", "experiments:steer", "experiments:run_symptoms", "experiments:run_log",
    "searches:results", "searches:points",
    "experiments:run_points", "experiments:run_hardware", "experiments:chart_csv", "experiments:curves_csv",
    "experiments:run_steps", "experiments:download", "registry:download",
    "registry:exported", "registry:scorings", "datasets:download",
    "labeling:face", "labeling:photo_pixels", "labeling:csv", "labeling:jsonl", "labeling:zip",
    "labeling:votes", "labeling:votes_zip", "labeling:faces", "labeling:head", "news:deliveries",
    "accounts:sign_in",  # for somebody signed in; looked at below
}  # fmt: skip
PAGES = sorted(
    name for name, rows in TABLE.items() if name not in NO_PAGES and any(row.method == "GET" for row in rows)
)
APPS = sorted({name.rpartition(":")[0] for name in PAGES})  # one browser profile an app: it is quicker
pytestmark = pytest.mark.browser


def test_enough_pages_are_looked_at() -> None:
    assert len(PAGES) > 20
    assert not NO_PAGES - set(TABLE)


@pytest.mark.parametrize("app", APPS)
def test_pages_fit_read_well_and_show_no_error(app: str, signed_in: Page, furnished: Furnished) -> None:
    found = {}
    for name in (name for name in PAGES if name.rpartition(":")[0] == app):
        row = next(row for row in TABLE[name] if row.method == "GET")
        keys = {key: getattr(furnished.world, at) for key, at in row.arguments.items()}
        signed_in.goto(furnished.url + reverse(name, kwargs=keys))
        found[name] = faults(signed_in)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_the_sign_in_page_too(page: Page, furnished: Furnished) -> None:
    page.goto(furnished.url + reverse("accounts:sign_in"))
    assert faults(page) == []


@pytest.mark.parametrize("path", ["/nothing/here", "/sign-in/link/used", "/invitation/ended"])
def test_pages_that_say_no_too(
    path: str, page: Page, furnished: Furnished, console_errors: list[str]
) -> None:
    page.goto(furnished.url + path)
    found = faults(page)
    assert all(path in error for error in console_errors)
    console_errors.clear()  # the refusal itself, which is the point
    assert found == []


def faults(page: Page) -> list[str]:
    """What is wrong at each size, in each theme."""
    assert page.title().endswith("· MMFRM")
    page.wait_for_load_state("networkidle")
    page.add_style_tag(content="*, ::before, ::after { transition: none !important; }")
    found = []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.wait_for_function("theme => document.documentElement.dataset.bsTheme === theme", arg=theme)
            found += [f"{width} {theme}: {fault}" for fault in page.evaluate(CHECKS)]
            if width == SIZES[0][0]:  # the rules look at what is there, whatever the width
                found += [f"axe {theme}: {fault}" for fault in serious(page, theme)]
    return found


def serious(page: Page, theme: str) -> list[str]:
    """What axe-core finds; of the dark page only what can differ from the light one."""
    if theme == "light":
        page.evaluate(AXE)
    rules: list[str] = page.evaluate(SERIOUS, None if theme == "light" else ["color-contrast"])
    return rules
