"""The rest of a batch: the review's end, others who were quicker, and faces that come while one chooses."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.conftest import Furnished, wait_listening
from tests.browser.test_review import FILL, answer, current, kept, open_review
from tests.conftest import SLOW_SECONDS
from tests.product import wait_until

pytestmark = pytest.mark.browser
FACES = 4  # of a batch

# Another person speaks of the first two faces.
QUICKER = """
import uuid
from webapp.accounts.models import User
from webapp.labeling import keeping
from webapp.labeling.models import LabelBatch
batch = LabelBatch.objects.get(pk={batch})
bea, _ = User.objects.get_or_create(username="bea", role="editor")
for index in (0, 1):
    said = dict(key=str(uuid.uuid4()), index=index, verdict="label", label=4)
    keeping.keep(batch, bea, [keeping.parse(said, len(batch.model.classes))])
"""
UNFINISHED = """
from webapp.jobs.models import Job
Job.objects.filter(label_batch={batch}).update(state="paused")
"""
ANOTHER = """
from webapp.jobs import services as jobs
from webapp.labeling.models import LabelBatch
batch = LabelBatch.objects.get(pk={batch})
face = batch.predictions.last()
face.pk, face.index = None, face.index + 1
face.save()
batch.job.done += 1
batch.job.save(update_fields=["done"])
jobs.hint(batch.job)
"""


@pytest.fixture(scope="module")
def batches(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """The keys of four batches with a few drawn faces each, made at once since that is quicker."""
    folder = tmp_path_factory.mktemp("drawn")
    said = furnished.product.query(FILL.format(folder=folder, faces=FACES, most=FACES))
    keys: list[int] = json.loads(said.strip().splitlines()[-1])[0]
    return keys


@pytest.fixture
def batch(batches: list[int]) -> int:
    """A batch that no test has had."""
    return batches.pop()


def test_enter_presses_the_button_that_has_the_focus_and_answers_nothing(
    signed_in: Page, furnished: Furnished, batch: int
) -> None:
    open_review(signed_in, furnished, batch)
    signed_in.locator("[data-review-strip] button").nth(1).focus()
    signed_in.keyboard.press("Enter")
    signed_in.locator("[data-review-strip] li:nth-child(2)[data-here]").wait_for()
    signed_in.locator("[data-review-blind]").focus()
    signed_in.keyboard.press("Enter")
    signed_in.locator("[data-review-blind][aria-pressed=true]").wait_for()
    assert current(signed_in) == 1
    signed_in.locator("[data-undo]").first.focus()
    answer(signed_in, "2", 1)
    wanted: dict[int, tuple[str, int | None]] = {1: ("label", 1)}
    wait_until(lambda: kept(furnished, batch) == wanted, SLOW_SECONDS, "other keys are for the face")


def test_the_end_comes_when_no_face_is_left_and_can_be_taken_back_without_keys(
    signed_in: Page, furnished: Furnished, batch: int
) -> None:
    open_review(signed_in, furnished, batch)
    for key in ("ArrowRight", "1", "ArrowRight"):
        answer(signed_in, key, current(signed_in))
    assert answer(signed_in, "1", 3) == 0, "the first that was passed over, not the end"
    assert answer(signed_in, "2", 0) == 2, "past the one that has an answer"
    end = signed_in.locator("[data-review-end]")
    assert end.is_hidden()
    signed_in.keyboard.press("3")
    end.wait_for()
    wait_until(lambda: len(kept(furnished, batch)) == FACES, SLOW_SECONDS, "every face has an answer")
    end.get_by_role("button", name="Previous").click()
    end.wait_for(state="hidden")
    assert current(signed_in) == FACES - 1
    signed_in.keyboard.press("ArrowRight")
    end.get_by_role("button", name="Undo").click()
    end.wait_for(state="hidden")
    assert current(signed_in) == 2
    wait_until(lambda: kept(furnished, batch)[2] == ("", None), SLOW_SECONDS, "the last answer is taken back")


def test_what_somebody_else_overtook_cannot_be_undone_and_leaves_nothing_that_waits(
    signed_in: Page, furnished: Furnished, batch: int, console_errors: list[str]
) -> None:
    open_review(signed_in, furnished, batch)
    signed_in.context.set_offline(True)
    for _ in range(2):
        answer(signed_in, "2", current(signed_in))
    furnished.product.query(QUICKER.format(batch=batch))
    held: list[Route] = []
    sent: list[Request] = []

    def hold(route: Route) -> None:
        held.append(route)

    signed_in.route("**/review/say", hold)
    signed_in.context.set_offline(False)
    # At once; later where the page has just tried by itself, which it does now and then without a connection.
    wait_listening(signed_in, lambda: bool(held), "the answers are on their way")
    console_errors.clear()  # the lost connection, which is the point
    waiting = signed_in.locator("[data-review]")
    signed_in.keyboard.press("z")  # before it is told
    expect(waiting).to_have_attribute("data-waiting", "3")
    signed_in.on("request", lambda request: sent.append(request) if request.url.endswith("/say") else None)
    held[0].continue_()
    signed_in.unroute("**/review/say", hold)
    signed_in.locator(".toasts").get_by_text("Somebody else has spoken").first.wait_for()
    expect(waiting).to_have_attribute("data-waiting", "0")
    signed_in.keyboard.press("z")
    signed_in.locator(".toasts").get_by_text("nothing to undo").wait_for()
    assert (len(held), sent) == (1, []), "no undo was sent, nor is one tried again and again"
    assert kept(furnished, batch) == {0: ("label", 4), 1: ("label", 4)}


def test_faces_that_come_leave_ticks_and_the_search_box_alone(
    signed_in: Page, furnished: Furnished, batch: int
) -> None:
    furnished.product.query(UNFINISHED.format(batch=batch))
    signed_in.goto(f"{furnished.url}/labeling/{batch}/")
    cards, ticked = signed_in.locator(".face-card"), signed_in.locator("[data-select]:checked")
    for index in (1, 2):
        signed_in.locator(f"[data-select='{index}']").click()
    furnished.product.query(ANOTHER.format(batch=batch))
    signed_in.wait_for_timeout(2500)  # longer than the grid waits for more
    assert (ticked.count(), cards.count()) == (2, FACES)
    signed_in.locator("#face-text").focus()
    ticked.evaluate_all("boxes => boxes.forEach((box) => { box.checked = false })")
    signed_in.wait_for_timeout(1500)
    assert cards.count() == FACES
    signed_in.locator("#face-order").focus()  # nobody has opened it
    expect(cards).to_have_count(FACES + 1)
    assert signed_in.evaluate("document.activeElement.id") == "face-order"
