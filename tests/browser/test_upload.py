"""Files on their way in, in a real browser: dropped, cut, reloaded, packed, and there in the end."""

from __future__ import annotations

import base64
import random
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.browser.conftest import Furnished
from tests.product import Product

pytestmark = pytest.mark.browser

ROW = "[data-upload-list] .upload-row"
OFFLINE = "net::ERR_"  # what the console says of requests that a cut connection ended
DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  const zone = document.querySelector("[data-upload-zone]");
  for (const type of ["dragenter", "dragover", "drop"]) {
    zone.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  }
}"""


@pytest.fixture
def new_page(signed_in: Page, furnished: Furnished) -> Page:
    """Where a new data set begins."""
    signed_in.goto(f"{furnished.url}/datasets/new")
    return signed_in


@pytest.fixture
def large_zip(tmp_path: Path) -> Path:
    """A zip that takes several pieces to send."""
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("noise.bin", random.Random(1).randbytes(30_000_000))
    return path


def state(page: Page, name: str, timeout: float = 120_000) -> None:
    expect(page.locator(ROW)).to_have_attribute("data-state", name, timeout=timeout)


def throttled(page: Page) -> CDPSession:
    """A slow connection, so that there is something to see and to cut, however late this test looks."""
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    connect(network, rate=3_000_000)
    return network


def connect(network: CDPSession, *, rate: int = -1, offline: bool = False) -> None:
    """With a limit of so many bytes a second, or with none."""
    conditions = {"offline": offline, "latency": 0, "downloadThroughput": rate, "uploadThroughput": rate}
    network.send("Network.emulateNetworkConditions", conditions)


def begun(page: Page) -> None:
    """Wait until some pieces have arrived, and before the last has. By every frame: it passes."""
    page.wait_for_function(
        "bar => /^[3-6]\\d$/.test(document.querySelector(bar)?.getAttribute('aria-valuenow'))",
        arg=f"{ROW} [role=progressbar]",
    )


def forget_waits(console_errors: list[str]) -> None:
    """The server may still be waiting at the end of a cut connection when the next one comes."""
    console_errors[:] = [e for e in console_errors if "423" not in e]


def share(page: Page) -> int:
    """Per cent sent, by the progress bar that people hear."""
    return int(page.locator(f"{ROW} [role=progressbar]").get_attribute("aria-valuenow") or 0)


def stored(product: Product, page: Page) -> Path:
    """The file on the server of the upload that the form holds."""
    pk = page.locator(f"{ROW} input[type=hidden]").get_attribute("value")
    assert pk is not None
    return product.data_dir / "uploads" / pk.replace("-", "")


def test_a_dropped_zip_arrives_and_becomes_a_data_set(new_page: Page, drawn_zip: Path) -> None:
    expect(new_page.get_by_role("button", name="Import")).to_be_disabled()
    new_page.evaluate(DROP, ["my_faces.zip", base64.b64encode(drawn_zip.read_bytes()).decode()])
    state(new_page, "done")
    expect(new_page.get_by_label("Name")).to_have_attribute("placeholder", "my faces")
    new_page.get_by_role("button", name="Import").click()
    expect(new_page.get_by_role("heading", name="my faces")).to_be_visible()
    expect(new_page.get_by_text("With a label")).to_be_visible(timeout=180_000)
    expect(new_page.locator(".figure", has_text="Images").first).to_contain_text("210")
    chart = new_page.locator("#classes .main-svg").first
    expect(chart).to_be_visible()
    expect(new_page.locator(".sample-grid img").first).to_have_js_property("complete", True)


def test_progress_is_shown_and_a_pause_holds_it(
    new_page: Page, large_zip: Path, console_errors: list[str]
) -> None:
    network = throttled(new_page)
    new_page.locator("[data-upload-files-input]").set_input_files(large_zip)
    row = new_page.locator(ROW)
    expect(row).to_contain_text(re.compile(r"MB of 30\.0 MB"))
    expect(row).to_contain_text(re.compile(r"\d [kM]B/s.*left"))
    new_page.get_by_role("button", name="Pause large.zip").press("Enter")
    state(new_page, "paused")
    expect(new_page.get_by_role("button", name="Import")).to_be_disabled()
    held = share(new_page)
    assert held < 100
    connect(network)
    new_page.get_by_role("button", name="Go on large.zip").press("Enter")
    state(new_page, "done")
    expect(new_page.get_by_role("button", name="Import")).to_be_enabled()
    forget_waits(console_errors)


def test_a_lost_connection_is_said_and_gone_on_from(
    new_page: Page, large_zip: Path, furnished: Furnished, console_errors: list[str]
) -> None:
    network = throttled(new_page)
    new_page.locator("[data-upload-files-input]").set_input_files(large_zip)
    begun(new_page)
    connect(network, offline=True)
    state(new_page, "waiting")
    expect(new_page.locator(ROW)).to_contain_text("The connection is lost")
    connect(network)
    state(new_page, "done")
    assert stored(furnished.product, new_page).read_bytes() == large_zip.read_bytes()
    console_errors[:] = [e for e in console_errors if OFFLINE not in e]
    forget_waits(console_errors)


def test_after_a_reload_the_same_file_goes_on_where_it_was(
    new_page: Page, large_zip: Path, furnished: Furnished, console_errors: list[str]
) -> None:
    network = throttled(new_page)
    new_page.locator("[data-upload-files-input]").set_input_files(large_zip)
    begun(new_page)
    new_page.reload()
    connect(network)
    rows = new_page.locator("[data-upload-waiting] .upload-row", has_text="large.zip")
    waiting = rows.filter(has_text="Choose the same file again")
    expect(waiting).to_have_count(1)
    posts: list[str] = []
    new_page.on("request", lambda r: posts.append(r.url) if r.method == "POST" else None)
    new_page.locator("[data-upload-files-input]").set_input_files(large_zip)
    state(new_page, "done")
    expect(waiting).to_have_count(0)
    assert posts == [], "no second upload was begun"
    assert stored(furnished.product, new_page).read_bytes() == large_zip.read_bytes()
    forget_waits(console_errors)
    new_page.get_by_role("button", name="Remove").click()
    expect(new_page.locator(ROW)).to_have_count(0)
    expect(new_page.get_by_role("button", name="Import")).to_be_disabled()


def test_signed_out_on_the_way_it_goes_on_after_a_reload_though_there_is_no_room_for_another(
    new_page: Page, large_zip: Path, console_errors: list[str]
) -> None:
    packed = large_zip.rename(large_zip.with_name("large.tar.xz"))
    network = throttled(new_page)
    new_page.locator("[data-upload-files-input]").set_input_files(packed)
    begun(new_page)
    new_page.get_by_role("button", name="Pause large.tar.xz", exact=True).press("Enter")
    state(new_page, "paused")
    new_page.route(
        "**/uploads/**",
        lambda route: route.fulfill(status=401, content_type="text/plain", body="You are signed out."),
    )
    new_page.get_by_role("button", name="Go on large.tar.xz").press("Enter")
    state(new_page, "failed")
    new_page.unroute("**/uploads/**")
    console_errors[:] = [e for e in console_errors if "401" not in e]

    new_page.reload()
    connect(network)
    new_page.locator("[data-upload]").evaluate("box => { box.dataset.largest = 1; }")
    posts: list[str] = []
    new_page.on("request", lambda r: posts.append(r.url) if r.method == "POST" else None)
    new_page.locator("[data-upload-files-input]").set_input_files(packed)
    state(new_page, "done")
    assert posts == [], "no second upload was begun"
    forget_waits(console_errors)
    assert new_page.evaluate("Object.keys(localStorage).filter((key) => key.includes('large.tar.xz'))") == []
    new_page.get_by_role("button", name="Remove").click()
    expect(new_page.locator(ROW)).to_have_count(0)


def test_a_folder_is_packed_on_its_way(
    new_page: Page, drawn_zip: Path, tmp_path: Path, furnished: Furnished
) -> None:
    folder = tmp_path / "holiday faces"
    with zipfile.ZipFile(drawn_zip) as archive:
        archive.extractall(folder)
        entries = {f"holiday faces/{name}": archive.read(name) for name in archive.namelist()}
    (folder / ".DS_Store").write_bytes(b"clutter")
    new_page.locator("[data-upload-folder-input]").set_input_files(folder)
    state(new_page, "done")
    expect(new_page.locator(ROW)).to_contain_text("holiday faces.zip")
    with zipfile.ZipFile(stored(furnished.product, new_page)) as packed:
        assert packed.testzip() is None
        assert {name: packed.read(name) for name in packed.namelist()} == entries


def test_what_cannot_be_read_is_said_at_once(new_page: Page, tmp_path: Path) -> None:
    for name in ("faces.rar", "faces.7z"):
        (tmp_path / name).write_bytes(b"Rar!")
        new_page.locator("[data-upload-files-input]").set_input_files(tmp_path / name)
        expect(new_page.get_by_role("alert")).to_contain_text(f"{name} is of a kind that is not read here")
        expect(new_page.locator(ROW)).to_have_count(0)


def test_several_archives_are_sent_side_by_side(new_page: Page, drawn_zip: Path, tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        (tmp_path / name).write_bytes(drawn_zip.read_bytes())
    new_page.locator("[data-upload-files-input]").set_input_files(
        [tmp_path / "one.zip", tmp_path / "two.zip"]
    )
    rows = new_page.locator(ROW)
    expect(rows).to_have_count(2)
    for row in (rows.nth(0), rows.nth(1)):
        expect(row).to_have_attribute("data-state", "done", timeout=120_000)
    new_page.get_by_role("button", name="Import").click()
    expect(new_page.get_by_role("link", name="one", exact=True)).to_be_visible()
    expect(new_page.get_by_role("link", name="two", exact=True)).to_be_visible()
