"""The page of a run while it runs: it follows without a reload, is steered by keyboard, and shows the end."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Furnished, wait_listening
from tests.feeder import Feeder

pytestmark = pytest.mark.browser

# Functions, not expressions: the pages' policy forbids what Playwright does to poll an expression.
POINTS = """([chart, count]) => {
  const drawn = document.querySelector(`[data-chart=${chart}]`)?.data;
  return drawn !== undefined && Math.max(...drawn.map((trace) => trace.x.length)) === count;
}"""
CLASS_CHARTS = ("variance", "mean", "recall")
SHOWN = """chart => document.querySelector(`[data-chart=${chart}]`).data
  .filter((trace) => trace.visible !== false).map((trace) => trace.name)"""


@pytest.fixture(scope="module")
def feeder(furnished: Furnished) -> Iterator[Feeder]:
    with Feeder(furnished.product.env) as made:
        yield made


@pytest.fixture
def run(feeder: Feeder) -> int:
    """A run that goes on and has ended two epochs."""
    started: int = feeder.do("start live")["run"]
    for epoch in range(2):
        feeder.do(f"steps {epoch}")
        feeder.do(f"epoch {epoch}")
    return started


@pytest.fixture
def run_page(signed_in: Page, furnished: Furnished, run: int) -> Page:
    """Its page, drawn."""
    signed_in.goto(f"{furnished.url}/experiments/runs/{run}/")
    has_points(signed_in, "loss", 2)
    return signed_in


def has_points(page: Page, chart: str, count: int) -> None:
    """Wait until a chart has so many points, bringing it into sight first: others are not drawn."""
    page.locator(f"[data-chart={chart}]").scroll_into_view_if_needed()
    page.wait_for_function(POINTS, arg=[chart, count])


def test_charts_gain_points_while_one_looks(run_page: Page, feeder: Feeder) -> None:
    run_page.evaluate("window.untouched = true")  # would be gone after a reload
    for epoch in range(2, 6):
        feeder.do(f"steps {epoch}")
        feeder.do(f"epoch {epoch}")
    for chart in ("loss", "accuracy", *CLASS_CHARTS, "learning_rate", "gradient_norm", "images_per_second"):
        has_points(run_page, chart, 6)
    has_points(run_page, "steps", 6 * 5)
    expect(run_page.locator("[data-live=epoch]")).to_have_text("6")
    expect(run_page.locator("#results")).to_contain_text("Best epoch (6)")
    assert run_page.evaluate("window.untouched")


def test_an_epoch_told_again_replaces_its_point(run_page: Page, feeder: Feeder) -> None:
    for epoch in (2, 3, 2, 3):
        feeder.do(f"epoch {epoch}")
    has_points(run_page, "loss", 4)
    x = run_page.evaluate("document.querySelector('[data-chart=loss]').data[0].x")
    assert x == [1, 2, 3, 4]


def test_a_click_hides_an_expression_on_all_charts_and_a_link_keeps_it(run_page: Page) -> None:
    fear = run_page.get_by_role("button", name=re.compile("^fear"))
    fear.focus()
    run_page.keyboard.press("Space")
    expect(fear).to_have_attribute("aria-pressed", "false")
    for chart in CLASS_CHARTS:
        has_points(run_page, chart, 2)
        run_page.wait_for_function(f"() => !({SHOWN})('{chart}').includes('fear')")
    assert "hidden=fear" in run_page.url
    run_page.reload()
    has_points(run_page, "recall", 2)
    assert "fear" not in run_page.evaluate(SHOWN, "recall")
    run_page.get_by_role("button", name="Show all").click()
    run_page.wait_for_function(f"() => ({SHOWN})('recall').includes('fear')")


def test_training_instead_of_validation_parts_smoothing_and_logarithms(run_page: Page) -> None:
    has_points(run_page, "recall", 2)
    before = run_page.evaluate("document.querySelector('[data-chart=recall]').data[0].y")
    run_page.get_by_role("button", name="Training", exact=True).click()
    run_page.wait_for_function(
        "before => document.querySelector('[data-chart=recall]').data[0].y[0] !== before", arg=before[0]
    )
    has_points(run_page, "loss", 2)
    run_page.get_by_role("button", name="Parts").click()
    run_page.wait_for_function("() => document.querySelector('[data-chart=loss]').data.length === 4")
    run_page.get_by_role("button", name="Log", exact=True).click()
    run_page.wait_for_function(
        "() => document.querySelector('[data-chart=loss]').layout.yaxis.type === 'log'"
    )
    run_page.get_by_label("Smoothing of all curves").fill("0.5")
    run_page.wait_for_function("() => document.querySelector('[data-chart=loss]').data.length === 8")


def test_the_machine_is_shown_while_it_works(run_page: Page, feeder: Feeder) -> None:
    gpu = run_page.locator("[data-chart=gpu]")
    expect(gpu).to_be_hidden()
    feeder.do("hardware 0")
    feeder.do("hardware 1")
    for chart in ("processor", "memory", "gpu", "gpu_memory"):
        has_points(run_page, chart, 2)
    expect(run_page.locator("[data-machine=memory]")).to_have_text("1.4 GB")
    expect(run_page.locator("[data-machine=wait]")).to_have_text(re.compile(r"^\d %$"))
    run_page.reload()
    has_points(run_page, "gpu", 2)


def test_every_chart_goes_full_screen_and_away_by_keyboard(run_page: Page) -> None:
    titles = run_page.locator(".chart[data-title]").evaluate_all("all => all.map((one) => one.dataset.title)")
    assert len(titles) == 15
    for title in titles:
        expect(run_page.get_by_label(f"Download {title}", exact=True)).to_have_count(1)
        expect(run_page.locator(f"button[title='{title}: full screen']")).to_have_count(1)
    has_points(run_page, "recall", 2)
    for kind, name in (("PNG", "live-recall.png"), ("SVG", "live-recall.svg"), ("CSV", "live-recall.csv")):
        run_page.get_by_label("Download Recall").press("Enter")
        with run_page.expect_download() as download:
            run_page.get_by_role("button", name=f"Recall as {kind}").press("Enter")
        assert download.value.suggested_filename == name
    expect(run_page.locator("[data-title^=Share]")).to_have_count(0)  # Plotly's: nothing leaves the machine
    run_page.get_by_role("button", name="Recall: full screen").press("Enter")
    alone = run_page.get_by_role("dialog", name="Recall, full screen")
    run_page.wait_for_function("() => document.querySelector('[data-chart=recall]').offsetHeight > 600")
    alone.get_by_role("button", name=re.compile("^fear")).press("Enter")
    run_page.wait_for_function(f"() => !({SHOWN})('recall').includes('fear')")
    run_page.keyboard.press("Escape")
    expect(alone).to_have_count(0)
    expect(run_page.get_by_role("button", name="Recall: full screen")).to_be_focused()


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus is called so, as somebody without a mouse does."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"Tab never comes to {name}")


def test_launching_watching_and_stopping_without_a_mouse(
    signed_in: Page, furnished: Furnished, run: int
) -> None:
    page = signed_in
    page.goto(f"{furnished.url}/experiments/runs/new/")
    page.get_by_label("Data set").focus()
    page.keyboard.type("FERPlus")  # the only one is chosen already, but other tests may have made more
    page.get_by_label("Name").focus()
    page.keyboard.type("typed")
    tab_to(page, "Start the run")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/experiments/runs/\d+/$"))
    expect(page.locator("h1")).to_contain_text("typed")
    page.goto(f"{furnished.url}/experiments/runs/{run}/")  # one with epochs
    has_points(page, "loss", 2)
    tab_to(page, "Stop")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("Stopped")


def test_stopping_by_keyboard(run_page: Page, feeder: Feeder) -> None:
    run_page.get_by_role("button", name="Stop", exact=True).focus()
    run_page.keyboard.press("Enter")
    expect(run_page.locator("h1")).to_contain_text(re.compile("Stopping|Stopped"))
    expect(run_page.locator("h1")).to_contain_text("Stopped")
    expect(run_page.get_by_role("button", name="Resume")).to_be_visible()
    expect(run_page.locator("#history")).to_contain_text(re.compile("Stopping.*by ada"))
    assert feeder.do("state") == {"state": "stopped"}


def test_what_somebody_else_does_shows_at_once(
    run_page: Page, signed_in: Page, feeder: Feeder, furnished: Furnished
) -> None:
    other = run_page.context.new_page()
    other.goto(run_page.url)
    other.get_by_role("button", name="Pause", exact=True).click()
    expect(run_page.locator("h1")).to_contain_text("Paused")
    expect(run_page.get_by_role("button", name="Resume")).to_be_visible()
    expect(run_page.get_by_role("button", name="Pause", exact=True)).to_have_count(0)
    other.close()


def test_the_end_brings_the_test_figures_and_a_model(run_page: Page, feeder: Feeder) -> None:
    elsewhere = run_page.context.new_page()
    heard: list[str] = []
    elsewhere.on("websocket", lambda socket: socket.on("framereceived", lambda _: heard.append(socket.url)))
    elsewhere.goto(run_page.url.split("/experiments")[0] + "/models/")
    # What ends before it listens is none of its business.
    wait_listening(elsewhere, lambda: any("/ws/ends/" in url for url in heard), "it listens")
    feeder.do("end")
    expect(elsewhere.locator("#toasts")).to_contain_text("live has finished")  # first: it leaves by itself
    expect(run_page.locator("h1")).to_contain_text("Finished")
    elsewhere.close()
    results = run_page.locator("#results")
    expect(results).to_contain_text("Opened once, at the end")
    # Not by Playwright, which gives up where the part is replaced meanwhile.
    run_page.evaluate("document.getElementById('results').scrollIntoView()")
    run_page.wait_for_function(
        "() => document.querySelector('[data-confusion]')?.data?.[0]?.type === 'heatmap'"
    )
    results.get_by_role("tab", name=re.compile("Best epoch")).click()
    run_page.wait_for_function(
        "() => document.querySelector('#figures-best [data-confusion]')?.data?.[0]?.z.length === 8"
    )
    with run_page.expect_download() as download:
        run_page.get_by_role("link", name=re.compile("^Epochs")).click()
    assert download.value.suggested_filename == "live-epochs.csv"
    run_page.get_by_role("button", name="Promote to model").click()
    expect(run_page.locator("h1")).to_contain_text("live")
    expect(run_page.get_by_text("It labels expressions, not emotions.").first).to_be_visible()


def test_every_part_of_the_page_comes_however_slow_the_server_is(run_page: Page, feeder: Feeder) -> None:
    def slowly(route: Route) -> None:
        time.sleep(1.5)
        route.continue_()

    run_page.route(re.compile(r"/(head|log|results|symptoms)/$"), slowly)
    feeder.do("epoch 2")
    feeder.do("end")
    expect(run_page.locator("h1")).to_contain_text("Finished")
    expect(run_page.locator("#history")).to_contain_text("Complete")
    expect(run_page.locator("#results")).to_contain_text("Opened once, at the end")
    run_page.unroute_all(behavior="ignoreErrors")  # what is still held would fail when the page is closed


def test_an_experiment_draws_its_runs_over_each_other(run_page: Page, feeder: Feeder) -> None:
    run_page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="live").click()
    run_page.wait_for_function("() => document.getElementById('curves')?.data?.[0]?.x.length === 2")
    feeder.do("epoch 2")
    run_page.wait_for_function("() => document.getElementById('curves')?.data?.[0]?.x.length === 3")
    run_page.get_by_role("button", name="Loss").click()
    run_page.wait_for_function("() => document.getElementById('curves').data[0]?.y[0] > 1")
    run_page.get_by_role("checkbox", name="Show live on the chart").uncheck()
    run_page.wait_for_function("() => document.getElementById('curves').data.length === 0")


def test_a_late_answer_for_one_figure_does_not_replace_another(run_page: Page, feeder: Feeder) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    run_page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="live").click()
    run_page.wait_for_function("() => document.getElementById('curves')?.data?.[0]?.x.length === 2")
    run_page.route("**figure=accuracy", hold)
    feeder.do("epoch 2")
    wait_listening(run_page, lambda: bool(held), "the list has changed, and the curves are asked for")
    run_page.get_by_role("button", name="Loss").click()
    run_page.wait_for_function("() => document.getElementById('curves').data[0]?.y[0] > 1")
    with run_page.expect_event("requestfinished", lambda request: "figure=accuracy" in request.url):
        held[0].continue_()
    run_page.wait_for_timeout(200)  # what would be drawn now
    assert run_page.evaluate("document.getElementById('curves').data[0].y[0]") > 1


def test_a_new_run_marks_what_differs_from_its_preset(signed_in: Page, furnished: Furnished) -> None:
    page = signed_in
    page.goto(f"{furnished.url}/experiments/runs/new/")
    differences = page.locator("[data-differences]")
    page.get_by_label("Epochs").fill("3")
    expect(differences).to_have_text(re.compile("Epochs3"))
    page.get_by_role("link", name=re.compile("Quick look")).click()
    expect(page.get_by_label("Epochs")).to_have_value("4")
    expect(differences.locator("li")).to_have_count(0)
    page.locator("summary", has_text="Cross-entropy and RFLoss").click()
    page.get_by_label("RFLoss", exact=True).select_option("off")
    expect(differences).to_have_text(re.compile("RFLossoff"))
    page.get_by_role("button", name="put back RFLoss", exact=True).click()
    expect(differences.locator("li")).to_have_count(0)


def test_who_types_on_while_the_cost_is_computed_sees_that_of_the_last_and_no_complaint(
    signed_in: Page, furnished: Furnished
) -> None:
    page, plan, held = signed_in, "**/runs/plan/", list[Route]()
    page.goto(f"{furnished.url}/experiments/runs/new/")
    page.wait_for_load_state("networkidle")
    page.route(plan, lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    epochs = page.get_by_label("Epochs")
    with page.expect_request(plan):
        epochs.fill("5")
        epochs.press("Tab")
    for later in ("6", "7"):
        epochs.fill(later)
        epochs.press("Tab")
    page.wait_for_timeout(500)  # longer than the form waits before it asks
    assert len(held) == 1
    with page.expect_response(lambda answer: "optim.epochs=7" in (answer.request.post_data or "")):
        page.unroute(plan)  # which lets it go


def plan_for(page: Page, label: str, value: str, *, sent: str) -> None:
    """Fill a box and wait until its plan is shown: a button that is replaced while pressed hears nothing."""
    box = page.get_by_label(label, exact=True)
    with page.expect_response(lambda answer: sent in (answer.request.post_data or "")):
        box.fill(value)
        box.press("Tab")
    page.wait_for_function("() => !document.querySelector('.plan.htmx-request')")


def test_what_a_first_run_of_its_size_costs_is_measured_at_a_click(
    signed_in: Page, furnished: Furnished
) -> None:
    """By a real worker, for the form as it is then."""
    page = signed_in
    page.goto(f"{furnished.url}/experiments/runs/new/?preset=quick-look")
    faces = page.get_by_role("option", name=re.compile("^FERPlus")).get_attribute("value")
    page.get_by_label("Data set").select_option(faces)  # other tests may have made more to choose from
    measure = page.get_by_role("button", name="Measure it here first")
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.get_by_label("Fusion", exact=True).select_option("none")
    plan_for(page, "Width", "0.125", sent="network.width=0.125")
    plan_for(page, "Batch size", "4", sent="optim.batch_size=4")
    measure.click()
    page.get_by_text("Measured by a few steps").wait_for(timeout=300_000)
    plan = page.locator(".plan-facts")
    expect(plan).to_contain_text(re.compile(r"Timeabout \d+"))
    expect(plan).to_contain_text(re.compile(r"Memory\d+"))
    expect(measure).to_have_count(0)
    [title] = furnished.product.rows(
        "select title from jobs_job where kind = 'estimate' order by id desc limit 1"
    )[0]
    assert title == "Measure small none, batch size 4"
