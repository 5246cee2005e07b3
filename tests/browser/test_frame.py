"""The frame of all pages in a real browser: keyboard, themes, dialogs, live progress, lost connections."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Furnished
from webapp.templatetags import house

pytestmark = pytest.mark.browser

BEGIN = """
from datetime import timedelta
from django.utils import timezone
from webapp.jobs.models import Job
Job.objects.filter(pk={pk}).update(
    state="running", attempt=1, worker="gpu-1@lab", done=0, total=0, started_at=timezone.now(),
    heartbeat_at=timezone.now() + timedelta(hours=1),  # so that the reaper leaves it to this test
)
"""
SAY = """
from mmfrm.events import Finished, Progress
from webapp.jobs import services
from webapp.jobs.models import Job
job = Job.objects.get(pk={pk})
{what}
"""


def test_the_first_tab_offers_to_skip_the_navigation(signed_in: Page, furnished: Furnished) -> None:
    signed_in.goto(furnished.url)
    signed_in.keyboard.press("Tab")
    link = signed_in.get_by_role("link", name="Skip to the content")
    expect(link).to_be_focused()
    box = link.bounding_box()
    assert box is not None
    assert box["y"] >= 0
    signed_in.keyboard.press("Enter")
    expect(signed_in.locator("#main")).to_be_focused()


def test_every_entry_of_the_navigation_leads_to_a_page_that_marks_it(
    signed_in: Page, furnished: Furnished
) -> None:
    signed_in.goto(furnished.url)
    names = signed_in.get_by_label("Main").get_by_role("link").all_inner_texts()
    assert names == ["Home", "Data sets", "Experiments", "Models", "Labelling", "Queue", "People"]
    for name in names:
        signed_in.get_by_label("Main").get_by_role("link", name=name, exact=True).click()
        expect(signed_in.locator(".side-link[aria-current=page]")).to_have_text(name)


def test_on_a_phone_the_menu_opens_and_closes_by_keyboard(signed_in: Page, furnished: Furnished) -> None:
    signed_in.set_viewport_size({"width": 390, "height": 844})
    signed_in.goto(furnished.url)
    button = signed_in.get_by_role("button", name="Menu")
    queue = signed_in.get_by_label("Main").get_by_role("link", name="Queue")
    expect(queue).to_be_hidden()
    button.focus()
    signed_in.keyboard.press("Enter")
    expect(queue).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    signed_in.keyboard.press("Escape")
    expect(queue).to_be_hidden()
    expect(button).to_be_focused()


def test_a_chosen_theme_is_kept_and_there_before_anything_is_painted(
    signed_in: Page, furnished: Furnished
) -> None:
    signed_in.emulate_media(color_scheme="light")
    signed_in.goto(furnished.url)
    root = signed_in.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "light")
    signed_in.get_by_role("button", name="Dark").click()
    expect(root).to_have_attribute("data-bs-theme", "dark")

    signed_in.add_init_script("""
        new MutationObserver((_, observer) => {
          if (!document.body) return;
          window.themeAtBody = document.documentElement.dataset.bsTheme ?? "none";
          observer.disconnect();
        }).observe(document, { childList: true, subtree: true });
    """)
    signed_in.reload()
    assert signed_in.evaluate("window.themeAtBody") == "dark"

    signed_in.get_by_role("button", name="As the system").click()
    expect(root).to_have_attribute("data-bs-theme", "light")
    signed_in.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-bs-theme", "dark")


def test_a_question_comes_before_what_cannot_be_undone(signed_in: Page, furnished: Furnished) -> None:
    signed_in.goto(f"{furnished.url}/people/")
    close = signed_in.get_by_role("button", name="Close the account of pat")
    dialog = signed_in.get_by_role("dialog")

    close.click()
    expect(dialog).to_contain_text("pat is signed out at once")
    signed_in.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(close).to_be_visible()

    close.click()
    dialog.get_by_role("button", name="Close account").click()
    expect(signed_in.get_by_text("The account of pat is closed.")).to_be_visible()
    signed_in.get_by_role("row", name="pat").get_by_role("button", name="Open again").click()
    expect(close).to_be_visible()


def test_a_dialog_closes_at_a_click_outside_and_at_none_that_began_or_ended_within(
    signed_in: Page, furnished: Furnished
) -> None:
    signed_in.goto(f"{furnished.url}/styleguide")
    dialog, mouse = signed_in.locator("#guide-dialog"), signed_in.mouse
    signed_in.locator("[data-opens=guide-dialog]").click()
    box, words = dialog.bounding_box(), dialog.locator("p").bounding_box()
    assert box
    assert words
    mouse.click(box["x"] + 6, box["y"] + 6)  # its padding
    expect(dialog).to_be_visible()
    mouse.move(words["x"] + 5, words["y"] + 5)  # text is selected, to its end and further
    mouse.down()
    mouse.move(box["x"] + box["width"] + 40, words["y"] + 5, steps=4)
    mouse.up()
    expect(dialog).to_be_visible()
    mouse.click(box["x"] - 40, box["y"] + 6)
    expect(dialog).to_be_hidden()


def test_an_invitation_is_made_and_its_link_shown_to_be_copied(signed_in: Page, furnished: Furnished) -> None:
    signed_in.goto(f"{furnished.url}/people/")
    signed_in.get_by_label("Role", exact=True).select_option("viewer")
    signed_in.get_by_role("button", name="Make invitation").click()
    link = signed_in.get_by_label("Link", exact=True).input_value()
    assert link.startswith(f"{furnished.url}/invitation/")
    signed_in.get_by_role("button", name="Copy").click()
    expect(signed_in.locator("#toasts")).to_contain_text(re.compile("Copied|Ctrl"))


def test_home_follows_a_job_to_its_end_without_a_reload(signed_in: Page, furnished: Furnished) -> None:
    job = furnished.world.job
    furnished.product.query(BEGIN.format(pk=job))
    signed_in.goto(furnished.url)
    signed_in.evaluate("window.notReloaded = true")
    shown = signed_in.locator(f'.job-progress[data-job="{job}"]')
    expect(shown).to_be_visible()

    progress = 'Progress(done=62, total=100, unit="images", phase="training", rate=73.4, seconds_left=200)'
    furnished.product.query(SAY.format(pk=job, what=f"services.record(job, {progress})"))
    expect(shown).to_contain_text("62 of 100 images")
    expect(shown).to_contain_text("73.4/s")
    expect(shown).to_contain_text("3 min 20 s left")
    expect(shown.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "62.0")

    end = 'services.end(job, last=Finished(), exit_status="0")'
    furnished.product.query(SAY.format(pk=job, what=end))
    expect(shown).to_have_count(0)
    row = signed_in.get_by_role("listitem").filter(has=signed_in.locator(f"#lately-{job}"))
    expect(row.locator(".state")).to_have_text("Finished")
    assert signed_in.evaluate("window.notReloaded")


def test_a_lost_connection_is_said_and_taken_back(
    signed_in: Page, furnished: Furnished, console_errors: list[str]
) -> None:
    signed_in.goto(furnished.url)
    banner = signed_in.locator("#offline")
    signed_in.context.set_offline(True)
    expect(banner).to_be_visible()
    signed_in.context.set_offline(False)
    expect(banner).to_be_hidden()
    console_errors.clear()  # what could not be fetched meanwhile


def test_without_a_server_a_page_of_ours_says_so_and_comes_back_by_itself(
    signed_in: Page, furnished: Furnished, console_errors: list[str]
) -> None:
    signed_in.goto(furnished.url)
    signed_in.evaluate("navigator.serviceWorker.ready.then(() => true)")
    signed_in.wait_for_function("() => navigator.serviceWorker.controller !== null")
    signed_in.context.set_offline(True)
    signed_in.goto(f"{furnished.url}/jobs/")
    expect(signed_in.get_by_role("heading")).to_have_text("The server cannot be reached")
    expect(signed_in.locator(".empty-icon svg")).to_be_visible()
    signed_in.context.set_offline(False)
    expect(signed_in.locator("h1")).to_have_text("Queue")
    console_errors.clear()  # what could not be fetched meanwhile


def test_charts_follow_the_theme_and_keep_what_was_zoomed(signed_in: Page, furnished: Furnished) -> None:
    signed_in.emulate_media(color_scheme="light")
    signed_in.goto(f"{furnished.url}/styleguide")
    chart = signed_in.locator("#guide-chart")
    expect(chart.locator("svg.main-svg").first).to_be_visible()
    signed_in.evaluate("""() => {
        window.before = document.getElementById("guide-chart").layout.font.color;
        return Plotly.relayout("guide-chart", {"xaxis.range": [3, 7]});
    }""")
    signed_in.emulate_media(color_scheme="dark")
    signed_in.wait_for_function(
        '() => document.getElementById("guide-chart").layout.font.color !== window.before'
    )
    found = signed_in.evaluate("""() => {
        const { data, layout } = document.getElementById("guide-chart");
        return { range: layout.xaxis.range, colours: data.map((trace) => trace.line.color) };
    }""")
    assert found["range"] == [3, 7]
    assert len(set(found["colours"])) == 8


def test_scripts_write_figures_as_templates_do(signed_in: Page, furnished: Furnished) -> None:
    signed_in.goto(furnished.url)
    cases: dict[str, list[float | None]] = {
        "duration": [None, 0, 41, 59.6, 60, 200, 3600, 7525, 86_399, 360_000],
        "size": [None, 0, 512, 999, 1500, 95_400_000, 123_456_789, 5.6e9, 2.5e12],
        "rate": [0.5, 73.44, 99.9, 100, 812.3, 12_345],
        "number": [None, 0, 35_710, 1_234_567],
        "percent": [None, 0, 0.8312, 1],
        "ago": [0, 9, 10, 42, 60, 3599, 3600, 86_400, 3_000_000, 80_000_000, -7200],
    }
    said = signed_in.evaluate(
        """async (cases) => {
            const scripts = performance.getEntriesByType("resource").map((entry) => entry.name);
            const format = await import(scripts.find((name) => /\\/format\\.[0-9a-f]+\\.js$/.test(name)));
            const write = ([name, values]) => [name, values.map((value) => format[name](value))];
            return Object.fromEntries(Object.entries(cases).map(write));
        }""",
        cases,
    )
    for name, values in cases.items():
        written = getattr(house, "spoken_ago" if name == "ago" else name)
        assert said[name] == [written(value) for value in values], name


def test_times_of_day_are_those_where_the_reader_is_and_name_their_zone(
    signed_in: Page, furnished: Furnished
) -> None:
    zone = "Asia/Tokyo"
    signed_in.context.new_cdp_session(signed_in).send("Emulation.setTimezoneOverride", {"timezoneId": zone})
    signed_in.goto(f"{furnished.url}/jobs/{furnished.world.job}/log/")
    time = signed_in.locator("time[data-clock]").first
    at = datetime.fromisoformat(time.get_attribute("datetime") or "").astimezone(ZoneInfo(zone))
    expect(time).to_have_text(re.compile(f"{at:%H:%M:%S}$"))
    expect(time).to_have_attribute("title", re.compile(r"GMT\+9|JST"))


def test_a_look_at_the_faces_shows_whole_rows_alone_on_a_phone(signed_in: Page, furnished: Furnished) -> None:
    signed_in.set_viewport_size({"width": 390, "height": 844})
    signed_in.goto(f"{furnished.url}/datasets/{furnished.world.dataset}/")
    look = signed_in.locator(".sample-grid-look")
    look.evaluate(
        "grid => { while (grid.children.length < 40) grid.append(grid.firstElementChild.cloneNode(true)) }"
    )
    below = look.evaluate("""grid => {
      const [first, ...rest] = getComputedStyle(grid).gridTemplateRows.split(" ").map(parseFloat);
      return grid.getBoundingClientRect().height - first - rest[0] - rest[1];
    }""")
    assert below < 1
