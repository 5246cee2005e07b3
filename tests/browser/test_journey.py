"""The whole journey of a newcomer, in one browser: faces in, a live training, labels out."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.conftest import SHARED
from tests.product import Product

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
REAL = SHARED / "data" / "ferplus.zip"
PHOTOS = 200


@pytest.fixture(scope="module")
def faces_zip(request: pytest.FixtureRequest) -> Path:
    """The real faces where the lab keeps them; drawn ones anywhere else."""
    path: Path = request.getfixturevalue("ferplus_zip" if REAL.exists() else "drawn_zip")
    return path


@pytest.fixture
def photos(faces_zip: Path, tmp_path: Path) -> list[Path]:
    """Photos as a labeller drops them; the last is none."""
    with zipfile.ZipFile(faces_zip) as archive:
        names = [name for name in archive.namelist() if name.endswith((".png", ".jpg"))]
        chosen = names[-PHOTOS + 1 :]
        paths = []
        for i, name in enumerate(chosen):
            path = tmp_path / f"{i:03} {Path(name).stem}.jpg"
            with archive.open(name) as file, Image.open(file) as image:
                image.convert("RGB").save(path, quality=95)
            paths.append(path)
    broken = tmp_path / "notes.jpg"
    broken.write_bytes(b"no picture at all")
    return [*paths, broken]


@pytest.mark.timeout(1200)  # it trains, on whatever else the machine leaves
def test_from_a_sign_in_link_to_labels_in_a_csv(
    page: Page, running_product: Product, faces_zip: Path, photos: list[Path]
) -> None:
    sign_in_and_out(page, running_product)
    upload(page, running_product, faces_zip)
    train(page)
    look_at_the_results(page)
    label(page, photos)
    take_the_csv(page, photos)
    take_another_file_by_keyboard(page, photos)


def sign_in_and_out(page: Page, product: Product) -> None:
    """By the link, once; then with the password that was created."""
    page.goto(product.new_link())
    if page.url.endswith("/welcome"):
        for box in page.locator("input[type=password]").all():
            box.fill("a long pass phrase")
        page.get_by_role("button", name="Create password").click()
        page.wait_for_url(product.url + "/")
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("User name").fill("admin")
        page.get_by_label("Password").fill("a long pass phrase")
        page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(product.url + "/")


def upload(page: Page, product: Product, archive: Path) -> None:
    """Drop the archive, watch it arrive and be read, and find every image counted."""
    page.goto(product.url + "/datasets/new")
    page.locator("[data-upload-files-input]").set_input_files(archive)
    page.locator("button.btn-primary[data-needs-upload]:enabled").click(timeout=180_000)
    page.wait_for_url("**/datasets/*/")
    page.get_by_role("link", name="Train on it").wait_for(timeout=400_000)
    shown = page.locator("main")
    with zipfile.ZipFile(archive) as file:
        for title, folder in (
            ("Train", "FER2013Train/"),
            ("Validation", "FER2013Valid/"),
            ("Test", "FER2013Test/"),
        ):
            inside = sum(name.startswith(folder) and name.endswith(".png") for name in file.namelist())
            if inside:
                expect(shown).to_contain_text(f"{title} {inside:,}", use_inner_text=True)
    page.locator("main .js-plotly-plot").first.wait_for()
    page.get_by_role("link", name="Faces").first.click()
    page.wait_for_url("**/faces/")  # the page before shows faces as well
    face = page.locator("main img").first
    face.wait_for()
    assert face.evaluate("async (img) => { await img.decode(); return img.naturalWidth }") > 0


def train(page: Page) -> None:
    """A quick look of two epochs, whose charts gain points while it runs."""
    page.get_by_role("link", name="Train on it").click()
    page.wait_for_url(re.compile(r"/experiments/runs/new/"))  # with its scripts: else a preset is a link
    page.locator("[data-preset=quick-look]").click()
    epochs = page.get_by_label("Epochs", exact=True)
    epochs.fill("2")
    page.get_by_label("Seed", exact=True).fill("1")
    for name, most in (("data.max_train", "600"), ("data.max_eval", "250")):  # folded: few need them
        box = page.locator(f"[name='{name}']")
        box.evaluate("(box) => { for (let e = box; e; e = e.parentElement) if ('open' in e) e.open = true }")
        box.fill(most)
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/experiments/runs/*/")
    seen = {points(page, "steps"), points(page, "loss")}
    running = page.locator("[data-state=running]").first
    running.wait_for(timeout=300_000)
    wait_for_points(page, "steps", 2)
    wait_for_points(page, "loss", 1)
    assert page.locator("[data-state=running]").count(), "the first epoch was seen before the run ended"
    assert seen == {0}
    page.get_by_role("link", name="Label with this model").wait_for(timeout=600_000)
    wait_for_points(page, "loss", 2)
    wait_for_points(page, "variance", 2)
    assert points(page, "loss") == points(page, "variance") == 2


def points(page: Page, chart: str) -> int:
    """How many points the longest trace of a chart has."""
    counted: int = page.evaluate(
        "(name) => Math.max(0, ...(document.querySelector(`[data-chart=${name}]`)?.data ?? [])"
        ".map((trace) => trace.x?.length ?? 0))",
        chart,
    )
    return counted


def wait_for_points(page: Page, chart: str, count: int) -> None:
    page.locator(f"[data-chart={chart}]").scroll_into_view_if_needed()  # charts draw when they are seen
    page.wait_for_function(
        "([name, count]) => (document.querySelector(`[data-chart=${name}]`)?.data ?? [])"
        ".some((trace) => (trace.x?.length ?? 0) >= count)",
        arg=[chart, count],
        timeout=600_000,
    )


def look_at_the_results(page: Page) -> None:
    """Confusion matrix, a row an expression, the model to take away."""
    page.evaluate("() => document.getElementById('results').scrollIntoView()")  # drawn when it is seen
    page.locator("[data-confusion].js-plotly-plot").first.wait_for()
    table = page.locator("#results table").first
    assert table.locator("tbody tr").count() == (8 if REAL.exists() else 7)
    with page.expect_download() as download:
        page.locator("#results a[href$='model.zip']").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = archive.namelist()
        assert any(name.endswith("model.safetensors") for name in names)
        card = next(name for name in names if name.endswith("model.json"))
        assert len(json.loads(archive.read(card))["classes"]) in (7, 8)


def label(page: Page, photos: list[Path]) -> None:
    """Drop the photos, watch them be labelled."""
    page.get_by_role("link", name="Label with this model").click()
    page.wait_for_url("**/labeling/new?*")
    page.locator("[data-upload-files-input]").set_input_files(photos)
    page.locator("button.btn-primary[data-needs-upload]:enabled").click(timeout=180_000)
    page.wait_for_url("**/labeling/*/")
    page.locator("#batch-head .state[data-state=finished]").wait_for(timeout=300_000)
    page.locator("#faces img").first.wait_for()
    page.locator("#class-chart.js-plotly-plot").wait_for()
    # The badge is told of the end; what stands beside it is fetched then, and so are the last faces, which
    # would replace the filters under a choice that no pointer and no key has announced.
    expect(page.locator("#batch-head")).to_contain_text(f"{len(photos)} rows, 1 without an answer")
    page.wait_for_function("() => !document.querySelector('.htmx-request, .htmx-added')")
    page.get_by_label("Order").select_option("unsure")
    page.wait_for_url("**order=unsure*")


def take_the_csv(page: Page, photos: list[Path]) -> None:
    """One row a photo, with probabilities that sum to one."""
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["file"] for row in table] == sorted(path.name for path in photos)
    for row in table[:-1]:
        figures = [float(value) for key, value in row.items() if key.startswith("p_")]
        assert sum(figures) == pytest.approx(1.0, abs=1e-4)
        assert float(row["confidence"]) == max(figures)
    assert table[-1]["file"] == "notes.jpg"
    assert table[-1]["error"]


def take_another_file_by_keyboard(page: Page, photos: list[Path]) -> None:
    """What else can be had is in a menu, which closes by Escape, by going on, and by a choice."""
    menu, others = page.locator("details.menu"), page.locator("summary", has_text="Other files")
    others.focus()
    page.keyboard.press("Enter")
    assert menu.evaluate("menu => menu.open")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert not menu.evaluate("menu => menu.open")
    assert others.evaluate("summary => summary === document.activeElement")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert [line["file"] for line in lines] == sorted(path.name for path in photos)
    assert not menu.evaluate("menu => menu.open")
