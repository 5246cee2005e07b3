"""What tests share: people, clients, pictures, a running product and a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.product import Product, start_product

if TYPE_CHECKING:
    from django.test import Client
    from playwright.sync_api import Browser, Page

    from webapp.accounts.models import User

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a script's background; a product inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)
NOT_SHIPPED = "../shared"  # real faces and reference vectors
NO_HARDWARE = "this processor"  # what no installation brings
SKIPS_IN_CI = (NOT_SHIPPED, NO_HARDWARE)  # the only reasons for a skip there
SLOW_SECONDS = 60.0  # what a step in a browser may take: a loaded machine is slow, and not wrong


# --- what was skipped, and why ---------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skip is a failure: everything that can be installed must be."""
    report = yield
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    is_allowed = any(known in reason for known in SKIPS_IN_CI)
    if os.environ.get("CI") == "true" and report.skipped and not is_allowed:
        report.outcome = "failed"
        report.longrepr = f"In CI nothing may be skipped. {reason}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts the product or a browser runs in one process, beside the rest in another (pytest-xdist)."""
    for item in items:
        if {"running_product", "chromium_path"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("product"))


# --- people ----------------------------------------------------------------------------------------


def _person(name: str, role: str) -> User:
    from webapp.accounts.models import User

    return User.objects.create_user(username=name, password="a long pass phrase", role=role)


@pytest.fixture
def data_folder(settings: Any, tmp_path: Path, db: None) -> None:
    """An empty place for the product's files, and no reserve on a disk that may be full."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    settings.DISK_RESERVE_BYTES = 0


@pytest.fixture
def viewer(db: None) -> User:
    return _person("vera", "viewer")


@pytest.fixture
def editor(db: None) -> User:
    return _person("edith", "editor")


@pytest.fixture
def administrator(db: None) -> User:
    return _person("ada", "administrator")


@pytest.fixture
def client_of(db: None) -> Callable[[User], Client]:
    """A signed-in client of somebody."""
    from django.test import Client

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


# --- pictures --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ferplus_zip() -> Path:
    """The real FERPlus archive, where the lab keeps it beside the repository."""
    path = SHARED / "data" / "ferplus.zip"
    if not path.exists():
        pytest.skip(f"real faces are absent ({NOT_SHIPPED}): their licence keeps them out of the repository")
    return path


@pytest.fixture(scope="session")
def drawn_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of class folders (train/happiness/…) with 210 drawn faces."""
    from mmfrm.data.native import FacePack

    folder = tmp_path_factory.mktemp("drawn")
    command = [sys.executable, "-m", "mmfrm", "draw", "--count", "210", "--seed", "3"]
    subprocess.run([*command, "--out", str(folder / "pack")], check=True, capture_output=True)
    pack = FacePack(folder / "pack")
    with zipfile.ZipFile(folder / "drawn.zip", "w") as archive:
        for sample in pack.samples:
            label = "" if sample.label is None else pack.description.classes[sample.label]
            name = f"{sample.split or 'train'}/{label}/{sample.index:05}{Path(sample.name).suffix}"
            archive.writestr(name, pack.bytes_of(sample))
    return folder / "drawn.zip"


# --- the running product and a browser ---------------------------------------------------------------


@pytest.fixture(scope="session")
def running_product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The embedded product on a data folder and a port of its own, shared by the tests of a session."""
    product = start_product(tmp_path_factory.mktemp("product"))
    yield product
    product.stop()


@pytest.fixture(scope="session")
def chromium_path() -> str | None:
    """An installed Chromium or Chrome; None where Playwright has its own."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    macs = ("Google Chrome", "Chromium")
    candidates = [os.environ.get("CHROMIUM"), *map(shutil.which, names)]
    candidates += [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in macs]
    for path in candidates:
        if path and Path(path).exists():
            return path
    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return None
    pytest.skip("no Chromium or Chrome: install one (apt install chromium; brew install --cask chromium)")


@pytest.fixture(scope="module")  # not longer: while Playwright runs, no asynchronous test can
def browser(chromium_path: str | None) -> Iterator[Browser]:
    """A headless Chromium."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * SLOW_SECONDS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def console_errors() -> list[str]:
    """What went wrong in the pages of `page`: console errors, exceptions, answers of 400 and above.

    It must be empty when the test ends; a test that provokes an error takes it out.
    """
    return []


@pytest.fixture
def page(browser: Browser, console_errors: list[str]) -> Iterator[Page]:
    """A page in a fresh browser profile, 1440 × 900, that fails the test on any error it shows."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(1000 * SLOW_SECONDS)
    context.on("page", lambda page: _watch(page, console_errors))
    yield context.new_page()
    context.close()
    assert console_errors == []


def _watch(page: Page, errors: list[str]) -> None:
    page.on("pageerror", lambda error: errors.append(f"exception on {page.url}: {error}"))
    page.on(
        "console",
        lambda said: errors.append(f"console on {page.url}: {said.text}") if said.type == "error" else None,
    )
    page.on(
        "response",
        lambda answer: errors.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
    )
