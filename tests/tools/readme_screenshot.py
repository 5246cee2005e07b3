"""Makes the picture of the README from the product itself: a training on drawn faces, while it runs.

python -m tests.tools.readme_screenshot
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.product import REPOSITORY, Product, start_product, wait_until

TARGET = REPOSITORY / "static" / "img" / "readme.png"
EPOCHS = 8  # of which the picture shows most
DRAW = """
from webapp.accounts.models import User
from webapp.datasets.services import draw
draw(User.objects.get(), count=900, seed=1)
"""
TRAIN = f"""
from mmfrm.settings import replace
from mmfrm.presets import presets
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.experiments.services import start_run
changes = {{"optim.epochs": {EPOCHS}, "data.max_train": 300, "data.max_eval": 200}}
config = replace(presets()["quick-look"], changes)
version, user = DatasetVersion.objects.get(), User.objects.get()
print(start_run(user, version=version, preset="quick-look", config=config, name="First look").pk)
"""


def main() -> None:
    """Start a product of its own, train, take the picture, and leave nothing else behind."""
    with tempfile.TemporaryDirectory() as folder:
        product = start_product(Path(folder))
        try:
            run = train(product)
            take(product, f"/experiments/runs/{run}/")
        finally:
            product.stop()


def train(product: Product) -> int:
    """Draw faces, train on them until most epochs are done; returns the run's number."""
    product.query(DRAW)
    ready = "SELECT 1 FROM datasets_datasetversion WHERE ready_at IS NOT NULL"
    wait_until(lambda: bool(product.rows(ready)), 120, "drawn faces")
    run = int(product.query(TRAIN))
    epochs = "SELECT count(*) FROM jobs_jobevent WHERE kind = 'epoch'"
    wait_until(lambda: bool(product.rows(epochs)[0][0] >= EPOCHS - 3), 1800, "epochs")
    return run


def take(product: Product, path: str) -> None:
    """The page at 1440 × 900 in the light theme, with few colours so that the file stays small."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
        page.goto(product.link)
        page.goto(product.url + path)
        page.wait_for_timeout(4000)  # charts have drawn, and a message or two has come
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=TARGET)
        browser.close()
    with Image.open(TARGET) as picture:
        picture.convert("RGB").quantize(256).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
