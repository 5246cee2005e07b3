"""How quickly the page of a run shows what a worker says, and how quickly a long run's page opens.

    python -m tests.benchmarks.bench_run_page

Starts the whole embedded product on a data folder of its own, and a headless Chromium. Prints:
the delay from an epoch that a worker records to its point on the chart (100 epochs, some with steps between,
as trainings say them), and the time from following the link to drawn charts for a run of 1,000 epochs and
100,000 step points.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.feeder import Feeder
from tests.product import Product, start_product

EPOCHS = 100
OPENINGS = 5

WATCH = """() => {
  const chart = document.querySelector("[data-chart=loss]");
  window.shownAt = {};
  new MutationObserver(() => {
    const count = chart.data?.[0].x.length ?? 0;
    window.shownAt[count] ??= Date.now() / 1000;
  }).observe(chart, { attributes: true, attributeFilter: ["data-drawn"] });
}"""
ARRIVALS = """(() => {
  window.arrivedAt = {};
  window.WebSocket = class extends WebSocket {
    constructor(address) {
      super(address);
      this.addEventListener("message", (message) => {
        for (const event of JSON.parse(message.data).events ?? []) {
          if (event.kind === "epoch") window.arrivedAt[event.epoch + 1] = Date.now() / 1000;
        }
      });
    }
  };
})()"""
BLOCKED = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
  }).observe({ type: "longtask" });
}"""


def measure_delay(page: Page, product: Product, feeder: Feeder) -> dict[str, float]:
    """Seconds between `record` being called and the point being on the chart."""
    run = feeder.do("start delay")["run"]
    page.add_init_script(ARRIVALS)
    feeder.do("epoch 0")
    page.goto(f"{product.url}/experiments/runs/{run}/")
    page.wait_for_function("() => document.querySelector('[data-chart=loss]').data?.[0].x.length === 1")
    page.evaluate(WATCH)
    page.evaluate(BLOCKED)
    told, wrote = {}, []
    for epoch in range(1, EPOCHS + 1):
        if epoch % 5 == 0:
            feeder.do(f"steps {epoch}")
        time.sleep(0.7)
        answer = feeder.do(f"epoch {epoch}")
        told[epoch + 1] = answer["told_at"]
        wrote.append(answer["seconds"])
    page.wait_for_function(f"() => window.shownAt[{EPOCHS + 1}] !== undefined")
    shown = {int(count): at for count, at in page.evaluate("() => window.shownAt").items()}
    # Two epochs may come with one drawing.
    delays = sorted(min(t for n, t in shown.items() if n >= count) - at for count, at in told.items())
    arrived = {int(count): at for count, at in page.evaluate("() => window.arrivedAt").items()}
    return {
        "of_it_writing_median_s": statistics.median(wrote),
        "of_it_arriving_median_s": statistics.median(arrived[count] - at for count, at in told.items()),
        "median_s": statistics.median(delays),
        "p95_s": delays[int(0.95 * len(delays))],
        "worst_s": delays[-1],
        "longest_task_s": page.evaluate("() => window.longest") / 1000,
    }


def measure_opening(page: Page, product: Product, feeder: Feeder) -> dict[str, float]:
    """Seconds from following the link to the charts in sight, and to the steps too."""
    run = feeder.do("start long 1000 100000")["run"]
    charts, steps = [], []
    for _ in range(OPENINGS):
        page.goto("about:blank")
        start = time.monotonic()
        page.goto(f"{product.url}/experiments/runs/{run}/", wait_until="commit")
        drawn = "() => document.querySelector('[data-chart=accuracy]')?.data?.[2].x.length === 1000"
        page.wait_for_function(drawn, polling=20)
        charts.append(time.monotonic() - start)
        page.locator("[data-chart=steps]").scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector('[data-chart=steps]').data?.[0].x.length > 1000")
        steps.append(time.monotonic() - start)
    return {"charts_median_s": statistics.median(charts), "with_steps_median_s": statistics.median(steps)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        product = start_product(Path(folder))
        try:
            path = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
            browser = playwright.chromium.launch(
                executable_path=path if Path(path).exists() else None, args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(product.link)
            with Feeder(product.env) as feeder:
                print(json.dumps({"delay": measure_delay(page, product, feeder)}, indent=2), flush=True)
            with Feeder(product.env) as feeder:
                print(json.dumps({"opening": measure_opening(page, product, feeder)}, indent=2), flush=True)
            browser.close()
        finally:
            product.stop()


if __name__ == "__main__":
    main()
