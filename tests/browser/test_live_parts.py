"""Parts of pages that news replace about once a second: questions, focus and reasons outlast it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from playwright.sync_api import Error, Page, Request, expect

from tests.browser.conftest import Furnished, wait_listening
from tests.feeder import Feeder

pytestmark = pytest.mark.browser

COPY_SEARCH = """
import uuid
from webapp.searches.models import Search
search = Search.objects.get(pk={pk})
search.pk, search.request_key, search.state = None, uuid.uuid4(), "paused"
search.save()
print(search.pk)
"""
WAIT = """
import json
from datetime import timedelta
from django.utils import timezone
from tests.synthetic_runs import queued_run
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.jobs.models import Worker
now = timezone.now()  # a worker that others count on, however long the tests take
Worker.objects.update_or_create(name="gpu-1@lab", defaults={{
    "queue": "gpu", "host": "lab", "pid": 1, "started_at": now, "seen_at": now + timedelta(hours=1)}})
ada = User.objects.get(username="ada")
version = DatasetVersion.objects.get(pk={version})
runs = [queued_run(ada, version, name=name) for name in ("sooner", "later")]
print(json.dumps([[run.pk, run.job_id] for run in runs]))
"""
WAIT_NO_MORE = """
from webapp.jobs.models import Job, Worker
Job.objects.filter(state="queued", queue="gpu").update(state="paused")
Worker.objects.filter(name="gpu-1@lab").delete()
"""
# The worker of the later one was lost, and nothing is ahead of it any more.
LOSE = """
from webapp.jobs.models import Job
Job.objects.filter(pk={later}).update(reason="Its worker was lost.")
Job.objects.filter(state="queued", queue="gpu").exclude(pk={later}).update(state="paused")
"""
# Heard after the answer was shown, or was not.
COUNT_ANSWERS = """part => {
  window.answers = 0;
  document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (detail.requestConfig.elt.id === part) window.answers += 1;
  });
}"""

COUNT_TOASTS = """() => {
  window.toasts = 0;
  const count = (changes) => { for (const { addedNodes } of changes) window.toasts += addedNodes.length; };
  new MutationObserver(count).observe(document.getElementById("toasts"), { childList: true });
}"""
# At once: Playwright looks for an element first, and news may replace it before anything is done to it.
SCROLL = """() => {
  window.had = document.getElementById("trials-table");
  window.had.scrollLeft = 40;
}"""
# Somebody scrolls on just when news have come, before htmx is done with them.
SCROLL_ON = """() => {
  const isTable = (event) => event.target.id === "trials";
  const scroll = (event) => {
    if (!isTable(event)) return;
    document.removeEventListener("htmx:afterSwap", scroll);
    document.getElementById("trials-table").scrollLeft = 60;
    document.addEventListener("htmx:afterSettle", (event) => { window.hasSettled ||= isTable(event); });
  };
  document.addEventListener("htmx:afterSwap", scroll);
}"""


@pytest.fixture(scope="module")
def feeder(furnished: Furnished) -> Iterator[Feeder]:
    """Somebody's run, which goes on and gives news."""
    with Feeder(furnished.product.env) as made:
        made.do("start noisy")
        yield made
        made.do("end")


@pytest.fixture
def waiting(furnished: Furnished) -> Iterator[list[list[int]]]:
    """Two runs that wait, as (run, job): the worker who would take them is held."""
    worker = furnished.product.processes()["gpu"]
    os.kill(worker, signal.SIGSTOP)
    try:
        said = furnished.product.query(WAIT.format(version=furnished.world.version))
        yield json.loads(said.strip().splitlines()[-1])
        furnished.product.query(WAIT_NO_MORE)
    finally:
        os.kill(worker, signal.SIGCONT)


def news_until(page: Page, feeder: Feeder, condition: str) -> None:
    """Let the run report until that has come to pass; what is said before the page listens is lost."""
    for reading in count():
        feeder.do(f"hardware {reading}")
        try:
            page.wait_for_function(condition, timeout=1500)
        except Error:
            if reading == 40:
                raise
        else:
            return


def test_a_search_is_stopped_while_news_of_a_trial_come(
    signed_in: Page, furnished: Furnished, feeder: Feeder
) -> None:
    page = signed_in
    said = furnished.product.query(COPY_SEARCH.format(pk=furnished.world.search))
    page.goto(f"{furnished.url}/searches/{int(said.strip().splitlines()[-1])}/")
    page.evaluate("document.getElementById('search-head').dataset.old = 'yes'")
    page.evaluate(COUNT_ANSWERS, "search-head")
    dialog, stop = page.get_by_role("dialog"), page.get_by_role("button", name="Stop the search")

    stop.press("Enter")
    news_until(page, feeder, "() => window.answers > 0")
    dialog.get_by_role("button", name="Cancel").press("Enter")
    expect(page.locator("#search-head[data-old]")).to_have_count(0)  # what was held back has come
    expect(stop).to_be_focused()

    stop.press("Enter")
    page.evaluate("window.answers = 0")
    news_until(page, feeder, "() => window.answers > 0")
    dialog.get_by_role("button", name="Stop it").press("Enter")
    expect(page.get_by_text("Stopped. What was tried stays.")).to_be_visible()
    expect(stop).to_have_count(0)


def test_the_estimate_is_that_of_the_chosen_preset_and_of_what_was_put_back(
    signed_in: Page, furnished: Furnished
) -> None:
    page = signed_in
    page.goto(f"{furnished.url}/experiments/runs/new/?preset=small")
    page.wait_for_load_state("networkidle")

    def asks(what: str) -> Callable[[Request], bool]:
        def is_meant(request: Request) -> bool:
            return request.url.endswith("/runs/plan/") and what in (request.post_data or "")

        return is_meant

    with page.expect_request(asks("optim.epochs=4&")):
        page.get_by_role("link", name=re.compile("Quick look")).click()
    epochs = page.get_by_label("Epochs")
    with page.expect_request(asks("optim.epochs=7&")):
        epochs.fill("7")
        epochs.press("Tab")
    with page.expect_request(asks("optim.epochs=4&")):
        page.get_by_role("button", name="put back Epochs", exact=True).click()
    expect(page.locator("[data-differences] li")).to_have_count(0)


def test_the_keyboard_stays_where_it_is_in_the_queue_while_news_come(
    signed_in: Page, furnished: Furnished, feeder: Feeder, waiting: list[list[int]]
) -> None:
    page, (_, later) = signed_in, waiting[1]
    page.goto(f"{furnished.url}/jobs/")
    take_out = page.get_by_role("button", name="later: take out of the queue")
    at_work = page.get_by_role("link", name="noisy")
    for element in (page.get_by_role("link", name="later", exact=True), at_work, take_out):
        element.focus()
        page.evaluate("window.had = document.activeElement")
        news_until(page, feeder, "() => !window.had.isConnected")
        expect(element).to_be_focused()
    page.keyboard.press("Enter")
    expect(take_out).to_have_count(0)
    [state] = furnished.product.rows("select state from jobs_job where id = ?", later)[0]
    assert state == "stopped"


def test_a_table_that_is_scrolled_stays_so_while_news_come(
    signed_in: Page, furnished: Furnished, feeder: Feeder
) -> None:
    page = signed_in
    page.set_viewport_size({"width": 320, "height": 844})  # so narrow that 60 can be scrolled in any state
    page.goto(f"{furnished.url}/searches/{furnished.world.search}/")
    table = page.locator("#trials-table")
    page.evaluate(SCROLL)
    expect(table).to_have_js_property("scrollLeft", 40)
    news_until(page, feeder, "() => !window.had.isConnected")
    expect(table).to_have_js_property("scrollLeft", 40)
    page.evaluate(SCROLL_ON)
    news_until(page, feeder, "() => window.hasSettled")
    expect(table).to_have_js_property("scrollLeft", 60)


def test_a_lost_connection_is_told_once_and_not_again_by_every_part_that_cannot_come(
    signed_in: Page, furnished: Furnished, waiting: list[list[int]], console_errors: list[str]
) -> None:
    page, (run, _), failed = signed_in, waiting[0], list[str]()
    page.goto(f"{furnished.url}/experiments/runs/{run}/")
    page.locator("[data-chart=loss].js-plotly-plot").wait_for()  # what a page needs at its start has come
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_be_visible()
    page.evaluate(COUNT_TOASTS)
    page.on("requestfailed", lambda request: failed.append(request.url) if "/head/" in request.url else None)
    wait_listening(page, lambda: len(failed) > 2, "the head was asked for again and again")
    assert page.evaluate("window.toasts") == 0
    page.context.set_offline(False)
    assert [error for error in console_errors if error.startswith("exception")] == []
    console_errors.clear()  # the lost connection, which is the point


def test_a_run_says_why_it_waits_as_that_changes_and_what_befell_it(
    signed_in: Page, furnished: Furnished, waiting: list[list[int]]
) -> None:
    page, (run, later) = signed_in, waiting[1]
    page.goto(f"{furnished.url}/experiments/runs/{run}/")
    head, clone = page.locator("#run-head"), page.get_by_role("link", name="Clone")
    expect(head).to_contain_text(re.compile(r"\d ahead of it in the queue\."))
    clone.focus()
    furnished.product.query(LOSE.format(later=later))
    expect(head).to_contain_text("Its worker was lost. It goes on from its last checkpoint by itself.")
    expect(head).to_contain_text("Next, as soon as a worker is free.")
    expect(clone).to_be_focused()
