"""How smoothly a browser scrolls the grid of a large data set's faces.

    python -m tests.benchmarks.bench_scroll [--faces 20000] [--pages 3]

Starts the embedded product with a data set of drawn pictures (each different, 48×48) and a headless Chromium,
turns the mouse wheel over the grid from top to bottom and back, several pages of it, and prints the intervals
between frames (requestAnimationFrame) while it scrolls, and the longest task of the main thread. A machine
without a graphics card draws with its processor: the wheel over an empty page, measured in the same run, says
what that allows. --url, --path and --session measure a product that runs already.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.benchmarks.bench_large_import import write_archive
from tests.product import Product, start_product

NOTCH = 40  # pixels
FRAMES = """() => {
  window.frames_ = [];
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
  }).observe({ type: "longtask" });
  let before = performance.now();
  let y = scrollY;
  requestAnimationFrame(function step(now) {
    if (scrollY !== y) window.frames_.push(now - before);  // only while it moves
    before = now;
    y = scrollY;
    requestAnimationFrame(step);
  });
}"""
IMPORT = """
from pathlib import Path
from webapp.accounts.models import User
from webapp.datasets import services
from webapp.uploads import services as uploads
from django.test import Client
ada = User.objects.create_user("ada", password="a long pass phrase", role="administrator")
path = Path({path!r})
upload = uploads.take_in(ada, path, filename="many.zip")
[made] = services.import_uploads(ada, upload_ids=[upload.pk], name="Many", layout="auto")
client = Client()
client.force_login(ada)
print(made.pk, client.cookies["mmfrm_session"].value)
"""


def furnish(product: Product, faces: int, folder: Path) -> tuple[str, str]:
    """Path of the grid and a session."""
    archive = folder / "many.zip"
    write_archive(archive, faces)
    pk, session = product.query(IMPORT.format(path=str(archive))).strip().splitlines()[-1].split()
    while not product.rows("SELECT 1 FROM datasets_datasetversion WHERE ready_at IS NOT NULL"):
        time.sleep(0.5)
    return f"/datasets/{pk}/v1/faces/", session


def scrolled(page: Page) -> None:
    """A steady turn of the wheel, down to the end and up again, twice."""
    page.mouse.move(700, 500)
    height = page.evaluate("() => document.documentElement.scrollHeight - innerHeight")
    for way in (1, -1, 1, -1):
        for _ in range(height // NOTCH + 2):
            page.mouse.wheel(0, NOTCH * way)
            page.wait_for_timeout(16)
    page.wait_for_timeout(300)


def metrics(page: Page) -> dict[str, float]:
    """Chromium's own counters of the page: what the main thread did, in counts and seconds."""
    network = page.context.new_cdp_session(page)
    network.send("Performance.enable")
    found = network.send("Performance.getMetrics")["metrics"]
    network.detach()
    return {metric["name"]: metric["value"] for metric in found}


def report(name: str, page: Page, before: dict[str, float]) -> None:
    """Print what `FRAMES` gathered, and what the main thread did since `before`."""
    did = {key: value - before.get(key, 0) for key, value in metrics(page).items()}
    frames = sorted(page.evaluate("() => window.frames_"))
    if not frames:
        raise SystemExit(f"{name}: nothing moved")
    p95, late = frames[int(0.95 * len(frames))], sum(f > 1000 / 60 * 1.5 for f in frames)
    moved = 1000 * (did["LayoutDuration"] + did["RecalcStyleDuration"]) / len(frames)
    print(
        f"{name:20} {len(frames):4} frames, median {statistics.median(frames):.1f} ms, 95th percentile "
        f"{p95:.1f} ms, worst {frames[-1]:.0f} ms, late (above 25 ms) {late / len(frames):.1%}, "
        f"longest task {page.evaluate('() => window.longest'):.0f} ms; a frame: layout {moved:.2f} ms, "
        f"script {1000 * did['ScriptDuration'] / len(frames):.2f} ms",
        flush=True,
    )


def measure(url: str, path: str, session: str, pages: int) -> None:
    """Scroll an empty page, then pages of the grid."""
    with sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
        known = chromium if Path(chromium).exists() else None
        browser = playwright.chromium.launch(executable_path=known, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": "mmfrm_session", "value": session, "url": url}])
        page = context.new_page()
        page.goto("about:blank")
        page.set_content("<body style='height: 2000px; margin: 0'>nothing</body>")
        empty = metrics(page)
        page.evaluate(FRAMES)
        scrolled(page)
        report("an empty page", page, empty)
        for number in range(1, pages + 1):
            page.goto(f"{url}{path}?page={number}")
            begun = metrics(page)
            page.evaluate(FRAMES)
            scrolled(page)
            report(f"page {number} of the grid", page, begun)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--pages", type=int, default=3)
    parser.add_argument("--url", help="of a product that runs already")
    parser.add_argument("--path", help="of its grid")
    parser.add_argument("--session", help="the value of its cookie mmfrm_session")
    chosen = parser.parse_args()
    if chosen.url:
        measure(chosen.url, chosen.path, chosen.session, chosen.pages)
        return
    with tempfile.TemporaryDirectory() as folder:
        product = start_product(Path(folder) / "data")
        try:
            path, session = furnish(product, chosen.faces, Path(folder))
            measure(product.url, path, session, chosen.pages)
        finally:
            product.stop()


if __name__ == "__main__":
    main()
