"""Reviewing faces that were found in photos: what goes on around a face is one key away."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Furnished, wait_listening
from tests.conftest import SLOW_SECONDS
from tests.product import wait_until

pytestmark = pytest.mark.browser

# Two photos of 200 by 100 pixels with two faces each, and a face that came alone.
FILL = """
import io
from PIL import Image
from django.db import transaction
from webapp.accounts.models import User
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling.models import LabelBatch, Prediction
from webapp.registry.models import Model
def png(size, shade):
    out = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()
with transaction.atomic():
    ada = User.objects.get(username="ada")
    model = Model.objects.create(owner=ada, name="Two", classes=["neutral", "happiness"])
    job = jobs.create(kind="predict", queue="cpu", owner=ada, title="Label")
    Job.objects.filter(pk=job.pk).update(state="finished")
    batch = LabelBatch.objects.create(owner=ada, name="In photos", model=model, job=job)
    batch.folder.mkdir(parents=True, exist_ok=True)
    faces, photos = png((112, 112), 90), [png((200, 100), 60), png((200, 100), 160)]
    (batch.folder / "faces.pack").write_bytes(faces)
    (batch.folder / "photos.pack").write_bytes(b"".join(photos))
    places = [[0, len(photos[0]), 200, 100], [len(photos[0]), len(photos[1]), 200, 100]]
    for i in range(5):
        found = dict(picture=i // 2, box=[20 + 100 * (i % 2), 10, 40, 50], photo=places[i // 2 % 2])
        share = 0.5 + i / 100
        Prediction.objects.create(
            batch=batch, index=i, file=f"{i // 2}.png", probabilities=[share, 1 - share], label=0,
            confidence=share, offset=0, length=len(faces), **(found if i < 4 else {}),
        )
print(batch.pk)
"""


@pytest.fixture
def batch(furnished: Furnished) -> int:
    """The key of a batch whose photos were kept."""
    return int(furnished.product.query(FILL).strip().splitlines()[-1])


def test_a_key_shows_the_face_in_its_photo_where_answers_go_on_and_the_next_photo_is_there(
    signed_in: Page, furnished: Furnished, batch: int
) -> None:
    page = signed_in
    asked: list[str] = []
    came: set[str] = set()
    page.on("request", lambda request: asked.append(request.url) if "/pixels" in request.url else None)
    page.on("requestfinished", lambda request: came.add(request.url) if "/pixels" in request.url else None)
    page.goto(f"{furnished.url}/labeling/{batch}/review/")
    stage, picture = page.locator("[data-review-stage]"), page.locator("[data-review-picture]")
    expect(stage).to_have_attribute("data-index", "0")
    expect(picture.locator("img")).to_have_count(1)
    assert not asked, "photos are fetched only where they are wished"

    page.keyboard.press("v")
    expect(picture.locator(".review-around > img")).to_be_visible()
    expect(stage).to_have_attribute("data-index", "0")
    mark = picture.locator(".review-around > i").evaluate(
        "e => [e.style.left, e.style.top, e.style.width, e.style.height]"
    )
    assert mark == ["10%", "10%", "20%", "50%"]
    wait_listening(page, lambda: len(came) == 2, "both photos are fetched ahead")

    page.keyboard.press("1")
    page.keyboard.press("2")
    expect(stage).to_have_attribute("data-index", "2")
    expect(picture.locator(".review-around > img")).to_have_js_property("naturalWidth", 200)
    expect(picture.locator("> img")).to_have_js_property("naturalWidth", 112)  # the face stays in sight
    page.keyboard.press("v")
    expect(picture.locator(".review-around")).to_have_count(0)
    expect(stage).to_have_attribute("data-index", "2")
    page.keyboard.press("z")
    expect(stage).to_have_attribute("data-index", "1")


def test_a_face_without_a_photo_is_shown_alone(signed_in: Page, furnished: Furnished, batch: int) -> None:
    page = signed_in
    page.goto(f"{furnished.url}/labeling/{batch}/review/?order=file")
    stage, toggle = page.locator("[data-review-stage]"), page.locator("[data-review-around]")
    expect(toggle).to_be_visible()
    toggle.click()
    for _ in range(4):
        if stage.get_attribute("data-index") == "4":
            break
        page.keyboard.press("ArrowRight")
    expect(stage).to_have_attribute("data-index", "4")
    expect(toggle).to_be_hidden()
    expect(page.locator("[data-review-picture] > img")).to_be_visible()


def test_faces_that_waited_in_a_page_that_was_left_are_asked_about_in_the_next(
    signed_in: Page, furnished: Furnished, batch: int
) -> None:
    page = signed_in
    page.goto(f"{furnished.url}/labeling/{batch}/review/")
    expect(page.locator("[data-review-stage]")).to_have_attribute("data-index", "0")
    lent = "SELECT count(*) FROM labeling_prediction WHERE batch_id = ? AND leased_to != ''"
    wait_until(lambda: furnished.product.rows(lent, batch) == [(5,)], SLOW_SECONDS, "all wait in that page")
    # What a browser tells a page that is left. A real leave may cut the farewell short; loans then run out.
    page.evaluate("() => dispatchEvent(new PageTransitionEvent('pagehide'))")
    wait_until(lambda: furnished.product.rows(lent, batch) == [(0,)], SLOW_SECONDS, "the page said farewell")
    other = page.context.new_page()  # a tab of its own name
    other.goto(f"{furnished.url}/labeling/{batch}/review/")
    expect(other.locator("[data-review-stage]")).to_have_attribute("data-index", "0")
