"""Reviewing by keyboard in a real browser: 300 answers, a browser killed in their middle, none lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from tests.browser.conftest import Furnished
from tests.conftest import SLOW_SECONDS
from tests.product import wait_until

pytestmark = pytest.mark.browser
ANSWERS = 300
FACES = 80  # drawn; the batch of the 300 answers shows them more than once
MOST_MS = 150  # from a key to the next face
KEEPS_UP_MS = 90  # for the work of PROBE; where it takes longer, the machine is slow, or others have it
COMMANDS = (("n", "not_a_face"), ("u", "unsure"), ("s", "skipped"))

# A fixed piece of work and two frames, once what the key before it asked for is shown and measured.
PROBE = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  for (let i = 0; i < 3; i += 1) await frame();
  const begin = performance.now();
  let sum = 0;
  for (let i = 0; i < 1e7; i += 1) sum += Math.sqrt(i);
  window.probed = sum;
  await frame();
  await frame();
  return performance.now() - begin;
}"""

# A batch of drawn faces. The drawn ones are the only faces that may travel with the tests.
FILL = """
import json
from pathlib import Path
from django.db import transaction
from mmfrm.control import Control
from mmfrm.data.drawn import draw
from mmfrm.data.native import FacePack
from mmfrm.jobs import DrawJob
from webapp.accounts.models import User
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling.models import LabelBatch, Prediction
from webapp.registry.models import Model
folder = Path("{folder}")
list(draw(folder, DrawJob(out=str(folder / "drawn"), count=max({faces}, 30), seed=5), Control()))
pack = FacePack(folder / "drawn")
classes = pack.description.classes
made = []
def make(faces):
    ada = User.objects.get(username="ada")
    model = Model.objects.create(owner=ada, name="Drawn", classes=classes)
    job = jobs.create(kind="predict", queue="cpu", owner=ada, title="Label drawn faces")
    Job.objects.filter(pk=job.pk).update(state="finished")
    batch = LabelBatch.objects.create(owner=ada, name="Drawn faces", model=model, job=job)
    batch.folder.mkdir(parents=True)
    offset, rows = 0, []
    with (batch.folder / "faces.pack").open("wb") as out:
        for i in range(faces):
            sample = pack.samples[i % len(pack.samples)]
            data = pack.bytes_of(sample)
            out.write(data)
            share = [0.0] * len(classes)
            share[i % len(classes)] = 0.5 + i / 1000
            rows.append(Prediction(
                batch=batch, index=i, file=f"{{i:03}} {{sample.name}}", probabilities=share,
                label=i % len(classes), confidence=max(share), offset=offset, length=len(data),
            ))
            offset += len(data)
    Prediction.objects.bulk_create(rows)
    made.append(batch.pk)
with transaction.atomic():
    for faces in ({faces}, {faces}, {faces}, {most}):
        make(faces)
print(json.dumps([made, len(classes)]))
"""


# Somebody else has answered for the three faces that come first.
APART = """
import uuid
from webapp.accounts.models import User
from webapp.labeling import keeping, standing
from webapp.labeling.models import LabelBatch
batch = LabelBatch.objects.get(pk={batch})
standing.want_labels(batch, 2)
batch.refresh_from_db()
ben = User.objects.create_user("ben", role="editor")
for index in range(3):
    said = dict(key=str(uuid.uuid4()), index=index, verdict="label", label=4)
    keeping.keep(batch, ben, [keeping.parse(said, len(batch.model.classes))])
"""


@pytest.fixture(scope="module")
def drawn_batches(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[int], int]:
    """The keys of four batches, the largest last, made at once since that is quicker; and their classes."""
    said = furnished.product.query(
        FILL.format(folder=tmp_path_factory.mktemp("drawn"), faces=FACES, most=ANSWERS + 20)
    )
    keys, classes = json.loads(said.strip().splitlines()[-1])
    return keys, classes


@pytest.fixture
def drawn_batch(drawn_batches: tuple[list[int], int]) -> tuple[int, int]:
    """The key of a batch that no test has had, and how many classes it has."""
    return drawn_batches[0].pop(0), drawn_batches[1]


@contextlib.contextmanager
def opened(
    browser: Browser, chromium_path: str | None, furnished: Furnished, profile: Path
) -> Iterator[Page]:
    """A page in a browser process of its own, whose profile names it among the processes."""
    context = browser.browser_type.launch_persistent_context(
        profile, executable_path=chromium_path, args=["--no-sandbox"]
    )
    context.set_default_timeout(1000 * SLOW_SECONDS)
    context.add_cookies([{"name": "mmfrm_session", "value": furnished.session, "url": furnished.url}])
    yield context.pages[0]
    with contextlib.suppress(PlaywrightError):  # it was killed
        context.close()


def kill(profile: Path) -> None:
    """SIGKILL for the browser of a profile and all its processes: no farewell, no last request."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout
    found = [line for line in listed.splitlines() if str(profile) in line]
    assert found
    for line in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.split()[0]), signal.SIGKILL)


def open_review(page: Page, furnished: Furnished, batch: int) -> None:
    page.goto(f"{furnished.url}/labeling/{batch}/review/")
    wait_for_pictures(page)


def wait_for_pictures(page: Page) -> None:
    """Until the face on the screen is there, and those ahead, which the strip shows: a connection may go."""
    page.wait_for_function("""() => {
      const there = (image) => image.complete && image.naturalWidth > 0;
      const face = document.querySelector("[data-review-picture] img");
      return face && [face, ...document.querySelectorAll("[data-review-strip] img")].every(there);
    }""")


def current(page: Page) -> int:
    """The index of the face on the screen, whose picture must be there."""
    index: int = page.evaluate(
        "() => { const image = document.querySelector('[data-review-picture] img');"
        " if (!image?.complete || !image.naturalWidth) throw new Error('the picture is not there yet');"
        " return Number(document.querySelector('[data-review-stage]').dataset.index) }"
    )
    return index


def answer(page: Page, key: str, face: int) -> int:
    """Press a key for the face on the screen, and wait for the next; its index."""
    page.keyboard.press(key)
    index: int = page.evaluate(
        """was => new Promise((resolve) => {
          const look = () => {
            const image = document.querySelector('[data-review-picture] img');
            const index = Number(document.querySelector('[data-review-stage]').dataset.index);
            if (index !== was && image?.complete && image.naturalWidth) resolve(index);
            else requestAnimationFrame(look);
          };
          look();
        })""",
        face,
    )
    return index


def kept(furnished: Furnished, batch: int) -> dict[int, tuple[str, int | None]]:
    sql = (
        'SELECT p."index", c.verdict, c.label FROM labeling_correction c JOIN labeling_prediction p'
        " ON p.id = c.prediction_id WHERE p.batch_id = ? ORDER BY c.id"
    )
    return {index: (verdict, label) for index, verdict, label in furnished.product.rows(sql, batch)}


def test_300_answers_by_keyboard_survive_a_killed_browser_and_none_keeps_the_reviewer_waiting(
    browser: Browser,
    chromium_path: str | None,
    furnished: Furnished,
    drawn_batches: tuple[list[int], int],
    tmp_path: Path,
) -> None:
    batch, classes = drawn_batches[0][-1], drawn_batches[1]
    wanted: dict[int, tuple[str, int | None]] = {}
    probes: list[float] = []
    with opened(browser, chromium_path, furnished, tmp_path / "profile") as page:
        open_review(page, furnished, batch)
        face = current(page)
        for i in range(ANSWERS // 2):
            wanted[face] = ("label", i % classes)
            face = answer(page, str(i % classes + 1), face)
            if i % 5 == 0:
                probes.append(page.evaluate(PROBE))
        waits = durations(page)
        page.keyboard.press("1")  # nobody has seen that this one was kept
        kill(tmp_path / "profile")
    assert len(wanted) == ANSWERS // 2
    with opened(browser, chromium_path, furnished, tmp_path / "profile") as page:
        open_review(page, furnished, batch)
        wait_until(
            lambda: wanted.items() <= kept(furnished, batch).items(), SLOW_SECONDS, "each of the 150 is there"
        )
        face = current(page)
        for i in range(ANSWERS // 2):
            command, verdict = COMMANDS[i % len(COMMANDS)]
            wanted[face] = (verdict, None)
            face = answer(page, command, face)
            if i % 5 == 0:
                probes.append(page.evaluate(PROBE))
        waits += durations(page)
        wait_until(
            lambda: wanted.items() <= kept(furnished, batch).items(), SLOW_SECONDS, "and the others are"
        )
    assert len(wanted) == ANSWERS, "no face came twice"
    assert len(waits) == ANSWERS
    waits.sort()
    probes.sort()
    median, p95, most = statistics.median(waits), waits[int(0.95 * len(waits))], waits[-1]
    probed = probes[int(0.95 * len(probes))]
    print(f"key to next face: median {median:.1f} ms, p95 {p95:.1f} ms, at most {most:.1f} ms")
    print(f"the probe beside it: median {statistics.median(probes):.1f} ms, p95 {probed:.1f} ms")
    if probed <= KEEPS_UP_MS:  # else the machine is measured, not the page
        assert p95 <= MOST_MS


def durations(page: Page) -> list[float]:
    """Milliseconds from each key to the next face, by the page's own clock."""
    page.wait_for_function(
        "count => performance.getEntriesByName('key to next face').length === count", arg=ANSWERS // 2
    )
    found: list[float] = page.evaluate(
        "() => performance.getEntriesByName('key to next face').map((entry) => entry.duration)"
    )
    return found


def test_answers_given_without_a_connection_arrive_after_the_tab_was_closed(
    signed_in: Page, furnished: Furnished, drawn_batch: tuple[int, int], console_errors: list[str]
) -> None:
    batch, _ = drawn_batch
    open_review(signed_in, furnished, batch)
    signed_in.context.set_offline(True)
    wanted: dict[int, tuple[str, int | None]] = {}
    face = current(signed_in)
    for _ in range(5):
        wanted[face] = ("label", 1)
        face = answer(signed_in, "2", face)
    undone = face
    answer(signed_in, "3", face)
    signed_in.keyboard.press("z")
    assert current(signed_in) == undone
    signed_in.locator("[data-review-sending]", has_text="7 answers wait").wait_for()
    assert kept(furnished, batch) == {}
    signed_in.close()  # its last try may get through, for the browser is no longer held offline then
    console_errors.clear()  # the lost connection, which is the point
    # ... the same profile again, another day
    context = signed_in.context
    context.set_offline(False)
    again = context.new_page()
    open_review(again, furnished, batch)
    wanted[undone] = ("", None)
    wait_until(lambda: kept(furnished, batch) == wanted, SLOW_SECONDS, "every answer is there")


def test_many_faces_are_selected_in_the_grid_and_set_and_taken_back_by_keys(
    signed_in: Page, furnished: Furnished, drawn_batch: tuple[int, int]
) -> None:
    batch, _ = drawn_batch
    signed_in.goto(f"{furnished.url}/labeling/{batch}/")
    ticks = signed_in.locator("[data-select]")
    ticks.nth(1).click()
    ticks.nth(6).click(modifiers=["Shift"])
    signed_in.keyboard.press("2")
    signed_in.locator(".face-said").nth(5).wait_for()
    assert kept(furnished, batch) == dict.fromkeys(range(1, 7), ("label", 1))
    assert signed_in.locator("[data-select-bar] [data-verdict]:visible").count() == 0, "nothing is selected"
    signed_in.locator("[data-select-done]", has_text="6 set").wait_for()
    signed_in.keyboard.press("z")
    signed_in.wait_for_function("() => !document.querySelector('.face-said')")
    assert kept(furnished, batch) == dict.fromkeys(range(1, 7), ("", None))


def test_two_people_answer_apart_and_conflicts_are_decided_by_keyboard(
    signed_in: Page, furnished: Furnished, drawn_batch: tuple[int, int]
) -> None:
    batch, _ = drawn_batch
    furnished.product.query(APART.format(batch=batch))
    open_review(signed_in, furnished, batch)
    assert signed_in.locator("[data-review-answers]").count() == 0
    signed_in.keyboard.press("m")  # the model's answer is out of sight, and cannot be agreed with
    assert signed_in.locator("[data-share]").first.is_hidden()
    face = current(signed_in)
    signed_in.keyboard.press("Enter")
    for key in ("5", "1", "u"):
        face = answer(signed_in, key, face)
    signed_in.keyboard.press("m")
    signed_in.locator("[data-review-mine]", has_text="3").wait_for()
    signed_in.locator("[data-review-conflicts]", has_text="2").wait_for()

    signed_in.goto(f"{furnished.url}/labeling/{batch}/agreement/")
    signed_in.get_by_role("link", name="Decide 2 conflicts").click()
    said = signed_in.locator("[data-review-answers] b")
    said.nth(1).wait_for()
    assert said.all_inner_texts() == ["anger", "neutral"]
    wait_for_pictures(signed_in)
    face = answer(signed_in, "5", current(signed_in))
    assert said.all_inner_texts() == ["anger", "unsure"]
    signed_in.keyboard.press("z")
    assert current(signed_in) != face
    answer(signed_in, "2", current(signed_in))
    signed_in.keyboard.press("n")
    signed_in.locator("[data-review-end]").wait_for()
    rows = """SELECT verdict, corrected FROM labeling_prediction
        WHERE batch_id = ? AND "index" < 3 ORDER BY "index" """
    wanted = [("label", 4), ("label", 1), ("not_a_face", None)]
    wait_until(lambda: furnished.product.rows(rows, batch) == wanted, SLOW_SECONDS, "what was decided holds")
