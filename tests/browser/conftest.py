"""A product of these tests' own, filled with one of everything, and somebody signed in to it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

import pytest
from playwright.sync_api import Error, Page

from tests.conftest import SLOW_SECONDS
from tests.product import Product, start_product
from tests.webapp.world import World

FILL = """
import dataclasses, json
from django.db import transaction
from django.test import Client
from tests.webapp.world import make_world
from webapp.accounts.models import User
from webapp.jobs.models import Job
with transaction.atomic():  # so that no worker sees the run before it is at rest
    ada = User.objects.create_user("ada", password="a long pass phrase", role="administrator")
    world = make_world(ada, ada, private=False)
    Job.objects.filter(state="queued").update(state="paused")
client = Client()
client.force_login(ada)
session = client.cookies["mmfrm_session"].value
print(json.dumps({"world": dataclasses.asdict(world), "session": session}))
"""


@dataclass(frozen=True)
class Furnished:
    """A running product, its rows, and a session of its administrator."""

    product: Product
    world: World
    session: str

    @property
    def url(self) -> str:
        return self.product.url


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    """Not `running_product`: journeys begin on an empty one."""
    import json

    product = start_product(tmp_path_factory.mktemp("furnished"))
    try:
        said = json.loads(product.query(FILL).strip().splitlines()[-1])
        yield Furnished(product, replace(World(**said["world"])), said["session"])
    finally:
        product.stop()


def wait_listening(page: Page, condition: Callable[[], bool], what: str) -> None:
    """Wait for what the page's listeners bring about: they are called only while Playwright is at work."""
    for _ in range(int(20 * SLOW_SECONDS)):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"still not: {what}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure comes with what its pages showed and what the product printed last."""
    report = yield
    if call.when == "call" and report.failed:
        given = getattr(item, "funcargs", {})
        for page in given["page"].context.pages if "page" in given else ():
            report.sections.append((f"page {page.url}", _shown(page)))
        for product in (given[name] for name in ("furnished", "running_product") if name in given):
            lines = (product.product if isinstance(product, Furnished) else product).lines
            report.sections.append(("product", "\n".join(lines[-30:])))
    return report


def _shown(page: Page) -> str:
    try:
        focused = page.evaluate("document.activeElement?.outerHTML.slice(0, 200)")
        return f"focus: {focused}\n{page.locator('body').inner_text(timeout=2000)[:3000]}"
    except Error as error:
        return str(error)


@pytest.fixture
def signed_in(page: Page, furnished: Furnished) -> Page:
    """A page of the administrator, who has not gone anywhere yet."""
    page.context.add_cookies([{"name": "mmfrm_session", "value": furnished.session, "url": furnished.url}])
    return page
