"""The page of an experiment: its runs over each other on one chart, told apart by more than a hue."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route

from tests.browser.conftest import Furnished
from tests.feeder import Feeder

pytestmark = pytest.mark.browser
IS_DRAWN = "() => document.getElementById('curves')?.data?.[0]?.x.length > 0"
IN_THE_TABLE = """() => ({
  checked: document.querySelector("[data-curve]").checked,
  shapes: document.querySelector(".curve-swatch").querySelectorAll("line, path").length,
})"""
# Contrasts with the ground (WCAG 2.2), and marks without their colours, of the first runs of a table.
MARKS = """async (theme) => {
  const scripts = performance.getEntriesByType("resource").map((entry) => entry.name);
  const { runMark } = await import(scripts.find((name) => /\\/run-marks\\.[0-9a-f]+\\.js$/.test(name)));
  document.documentElement.dataset.bsTheme = theme;
  const canvas = document.createElement("canvas").getContext("2d");
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data]
      .map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = luminance(getComputedStyle(document.documentElement).getPropertyValue("--surface").trim());
  const marks = Array.from({ length: 20 }, (_, place) => runMark(place));
  return {
    contrasts: marks.map(({ colour }) => {
      const [low, high] = [ground, luminance(colour)].sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05);
    }),
    shapes: marks.map(({ dash, symbol }) => `${dash} ${symbol}`),
  };
}"""


def open_experiment(page: Page, furnished: Furnished, run: int) -> None:
    [[experiment]] = furnished.product.rows("select experiment_id from experiments_run where id = ?", run)
    page.goto(f"{furnished.url}/experiments/{experiment}/")
    page.wait_for_function(IS_DRAWN)


def test_a_run_that_was_taken_off_the_chart_is_so_at_once_when_news_replace_the_table(
    signed_in: Page, furnished: Furnished
) -> None:
    page, held = signed_in, list[Route]()
    with Feeder(furnished.product.env) as feeder:
        run = feeder.do("start compared")["run"]
        feeder.do("epoch 0")
        open_experiment(page, furnished, run)
        page.get_by_role("checkbox", name="Show compared on the chart").uncheck()
        page.wait_for_function("() => document.getElementById('curves').data.length === 0")
        page.route("**figure=accuracy", lambda route: held.append(route))  # noqa: PLW0108 - not a built-in
        page.evaluate("window.had = document.querySelector('[data-curve]')")
        feeder.do("epoch 1")
        page.wait_for_function("() => !window.had.isConnected")
        assert page.evaluate(IN_THE_TABLE) == {"checked": False, "shapes": 2}
        page.unroute_all(behavior="ignoreErrors")
        feeder.do("end")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_lines_of_runs_stand_out_from_the_ground_and_differ_in_shape(
    theme: str, signed_in: Page, furnished: Furnished
) -> None:
    signed_in.goto(f"{furnished.url}/experiments/{furnished.world.experiment}/")
    found = signed_in.evaluate(MARKS, theme)
    assert min(found["contrasts"]) > 2.4
    assert len(set(found["shapes"])) == len(found["shapes"])
