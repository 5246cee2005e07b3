"""Steering a run: who may, what it means in each state, that it is written down, and that twice is once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mmfrm.events import Finished, Steered, Stopped
from mmfrm.jobs import TrainJob, read_job
from tests.synthetic_runs import Story, keep_a_model, play, queued_run, ready_version
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.experiments import steered, steering
from webapp.experiments.models import Run, Steering
from webapp.jobs import services, wording
from webapp.jobs.models import Job, JobEvent

ClientOf = Callable[[User], Client]
STORY = Story(epochs=12, steps=12)
HTMX: dict[str, Any] = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def run(editor: User) -> Run:
    return queued_run(editor, ready_version(editor), name="first run")


def order(run: Run, do: str, value: float, **more: Any) -> Steering:
    values: dict[str, Any] = {"request_key": uuid.uuid4()} | more
    return steering.steer(run, run.owner, do=do, value=value, **values)


def sent(part: str, **fields: Any) -> dict[str, Any]:
    """A part of the dialog as a browser sends it."""
    return {"part": part, "request_key": str(uuid.uuid4()), "seen": 0} | fields


def holds(job: Job, number: int, do: str, value: float) -> None:
    event = Steered(number=number, do=do, value=value, step=14, epoch=1, learning_rate=5e-4, epochs=14)
    assert services.record(job, event)


def states(run: Run) -> list[str]:
    rows = JobEvent.objects.filter(job=run.job_id, kind="state").order_by("seq")
    return [row.payload["state"] for row in rows]


def fresh(run: Run) -> Run:
    return Run.objects.select_related("job").get(pk=run.pk)


def test_an_order_waits_until_the_trainer_says_that_it_holds(run: Run, client_of: ClientOf) -> None:
    job, client = play(run, STORY, range(1)), client_of(run.owner)
    url = f"/experiments/runs/{run.pk}/steer/"
    answer = client.post(url, sent("rate", do="scale_rate", rate_value="0.5"), **HTMX)
    assert answer.status_code == 204
    assert "Learning rate × 0.5: from the next step." in answer["HX-Trigger"].encode().decode(
        "unicode-escape"
    )
    assert client.post(url, sent("extend", epochs=14, planned=12, seen=1), **HTMX).status_code == 204
    page = client.get(f"/experiments/runs/{run.pk}/head/").content.decode()
    assert "<strong>Learning rate × 0.5</strong>: from the next step." in page
    assert "/ 14</span>" in page, "its progress follows the extension"
    assert [o["do"] for o in services.orders(job)] == ["scale_rate", "extend"]

    holds(job, 1, "scale_rate", 0.5)
    holds(job, 2, "extend", 2)
    told_at = JobEvent.objects.get(job=job, kind="steered", key=1).at
    holds(job, 1, "scale_rate", 0.5)  # a resumed job says it again
    assert JobEvent.objects.get(job=job, kind="steered", key=1).at == told_at
    assert steered.waiting(run, job) == []
    told = [f"{line['text']} {line['detail']}" for line in wording.history(job)]
    assert "2 more epochs by edith" in told
    assert "Learning rate × 0.5: from step 15 on, in epoch 2 rate 0.0005, 14 epochs in all" in told
    assert [(m["step"], m["label"]) for m in steered.marks(fresh(run))] == [(14, "× 0.5"), (14, "+2")]
    clone = client.get(f"/experiments/runs/{run.pk}/clone/").content.decode()
    assert "Learning rate × 0.5 from step 15 on, by edith: a clone does not repeat this." in clone
    file = read_job(services.prepare(Job.objects.get(pk=job.pk)))
    assert isinstance(file, TrainJob)
    assert [o["number"] for o in file.steering] == [1, 2]
    assert file.config.optim.epochs == 12, "settings say how it began"


def test_a_double_click_and_a_second_window_do_not_extend_twice(run: Run, client_of: ClientOf) -> None:
    client, url = client_of(run.owner), f"/experiments/runs/{run.pk}/steer/"
    first = sent("extend", epochs=17, planned=12)
    assert [client.post(url, first, **HTMX).status_code for _ in range(2)] == [204, 204]
    other = client.post(url, sent("extend", epochs=17, planned=12), **HTMX)  # its page was from before
    assert "Meanwhile it was steered: 5 more epochs, by edith" in other.content.decode()
    assert fresh(run).epochs == 17
    assert client.post(url, sent("note", note_epoch=1, text="fine"), **HTMX).status_code == 204
    assert client.post(url, sent("extend", epochs=18, planned=17, seen=1), **HTMX).status_code == 204
    assert fresh(run).epochs == 18


def test_a_finished_run_that_is_extended_goes_back_into_the_queue(run: Run, client_of: ClientOf) -> None:
    play(run, STORY, range(12), end=True)
    with pytest.raises(RefusedError, match="Its checkpoint is gone"):
        order(run, "extend", 3)
    keep_a_model(run)
    with pytest.raises(RefusedError, match="Extend it first"):
        order(run, "scale_rate", 0.5)
    dialog = client_of(run.owner).get(f"/experiments/runs/{run.pk}/steer/").content.decode()
    assert "Stop after an epoch" not in dialog
    assert "Its test faces have been looked at" in dialog
    order(run, "extend", 3)
    clone = client_of(run.owner).get(f"/experiments/runs/{run.pk}/clone/")
    assert clone.context["form"]["optim.epochs"].value() == 15
    assert "It was planned with 12 epochs, and then with 15: here 15 are planned" in clone.content.decode()
    assert (fresh(run).job.state, fresh(run).epochs, fresh(run).test) == ("queued", 15, {})
    assert states(run)[-2:] == ["finished", "queued"]


def test_an_extension_that_crosses_the_end_is_not_lost(run: Run) -> None:
    job = play(run, STORY, range(12))
    order(run, "extend", 1)
    for event in STORY.ending():
        services.record(job, event)
    services.end(job, last=Finished(), exit_status="0")
    row = fresh(run).job
    assert (row.state, row.reason) == ("queued", "More was asked of it while it ended.")


def test_a_run_is_made_shorter_and_its_plan_is_what_the_trainer_makes_of_it(
    run: Run, client_of: ClientOf
) -> None:
    job, client = play(run, STORY, range(3)), client_of(run.owner)
    url = f"/experiments/runs/{run.pk}/steer/"
    refused = client.post(url, sent("extend", epochs=2, planned=12), **HTMX)
    assert "Must be 3 to 10,012." in refused.content.decode()
    shorter = sent("extend", epochs=3, planned=12)
    assert [client.post(url, shorter, **HTMX).status_code for _ in range(2)] == [204, 204]
    assert (str(run.steerings.get()), fresh(run).epochs) == ("9 fewer epochs", 3)
    # The fourth epoch had begun before the order came, and is ended.
    event = Steered(number=1, do="extend", value=-9, step=40, epoch=3, learning_rate=5e-4, epochs=4)
    assert services.record(job, event)
    assert fresh(run).epochs == 4
    assert [m["label"] for m in steered.marks(fresh(run))] == ["-9"]


def test_a_run_that_has_ended_or_ends_meanwhile_is_not_made_shorter(run: Run) -> None:
    job = play(run, STORY, range(12))
    with pytest.raises(RefusedError, match="12 epochs already"):
        order(run, "extend", -1)
    order(run, "extend", 3)
    order(run, "extend", -2)
    order(run, "extend", -1)
    holds(job, 1, "extend", 3)
    for event in STORY.ending():
        services.record(job, event)
    services.end(job, last=Finished(), exit_status="0")
    row = fresh(run)
    assert (row.job.state, steered.waiting(row, row.job)) == ("finished", [])
    assert row.epochs == 14, "what came too late is taken back; what the trainer said counts"
    with pytest.raises(RefusedError, match="It has finished"):
        order(run, "extend", -1)


def test_a_stopped_run_that_is_made_shorter_goes_on_to_its_end(run: Run) -> None:
    job = play(run, STORY, range(2))
    services.stop(job, run.owner)
    services.end(job, last=Stopped(reason="asked"), exit_status="3")
    order(run, "extend", -10)
    assert (fresh(run).job.state, fresh(run).epochs) == ("queued", 2)


def test_it_stops_where_it_was_told_to_and_goes_on_when_it_is_resumed(run: Run) -> None:
    job = play(run, STORY, range(1))
    order(run, "stop_after", 3)
    assert order(run, "stop_after", 1).number == 2
    assert [o["number"] for o in services.orders(job)] == [2], "the newer one counts"
    services.pause(job, run.owner)
    services.end(job, last=Stopped(reason="asked"), exit_status="3")
    assert [w.waits_for for w in steered.waiting(run, fresh(run).job)] == [
        "as soon as it is resumed and has ended it"
    ]
    services.resume(fresh(run).job, run.owner)
    again = services.claim("gpu", "gpu-2@lab")
    assert again is not None
    services.record(again, STORY.started(resumed=True))
    last = Stopped(reason="It was to stop after epoch 2.", on_order=True)
    services.record(again, last)
    assert [o["number"] for o in services.orders(again)] == [2], "a worker that dies now must stop again"
    services.end(again, last=last, exit_status="3")
    assert (fresh(run).job.state, fresh(run).job.reason) == ("stopped", "It was to stop after epoch 2.")
    services.resume(fresh(run).job, run.owner)
    assert services.orders(fresh(run).job) == []


def test_an_order_to_stop_is_taken_back(run: Run, client_of: ClientOf) -> None:
    job, client = play(run, STORY, range(1)), client_of(run.owner)
    order(run, "stop_after", 4)
    url = f"/experiments/runs/{run.pk}/steer/1/withdraw/"
    assert url in client.get(f"/experiments/runs/{run.pk}/").content.decode()
    for said in ("Not so: Stop after epoch 5", "nothing to take back"):
        assert said in client.post(url, follow=True).content.decode()
    assert services.orders(job) == []


def test_a_note_is_marked_and_never_reaches_the_trainer(run: Run, client_of: ClientOf) -> None:
    job = play(run, STORY, range(2))
    client = client_of(run.owner)
    answer = client.post(
        f"/experiments/runs/{run.pk}/steer/", sent("note", note_epoch=2, text="<b>loud</b>"), follow=True
    )
    page = answer.content.decode()
    assert "Note at epoch 2: &lt;b&gt;loud&lt;/b&gt;" in page
    assert "<b>loud" not in page
    assert services.orders(job) == []
    [mark] = steered.marks(fresh(run))
    assert (mark["epoch"], mark["step"], mark["is_note"]) == (2.0, 24.0, True)


@pytest.mark.parametrize(
    ("part", "fields", "said"),
    [
        ("extend", {"epochs": 0, "planned": 12}, "Must be 1 to 10,012."),
        ("extend", {"epochs": 12, "planned": 12}, "12 are planned already."),
        ("extend", {"epochs": "many", "planned": 12}, "Enter a whole number."),
        ("rate", {"do": "scale_rate", "rate_value": "-1"}, "Must be 0.0001 to 10000."),
        ("rate", {"do": "set_rate", "rate_value": "nan"}, "Enter a number."),
        ("stop_after", {"epoch": 13}, "Must be 2 to 12."),
        ("note", {"note_epoch": 1, "text": ""}, "This field is required."),
    ],
)
def test_what_makes_no_sense_is_said_beside_the_field(
    run: Run, client_of: ClientOf, part: str, fields: dict[str, Any], said: str
) -> None:
    play(run, STORY, range(1))
    answer = client_of(run.owner).post(f"/experiments/runs/{run.pk}/steer/", sent(part, **fields), **HTMX)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not Steering.objects.exists()


def test_a_viewer_sees_what_waits_but_no_button(run: Run, viewer: User, client_of: ClientOf) -> None:
    play(run, STORY, range(1))
    order(run, "stop_after", 4)
    client = client_of(viewer)
    page = client.get(f"/experiments/runs/{run.pk}/").content.decode()
    assert "Stop after epoch 5" in page
    assert "Take it back" not in page
    assert 'id="steer' not in page
    sending = sent("extend", epochs=17, planned=12)
    assert client.post(f"/experiments/runs/{run.pk}/steer/", sending).status_code == 403
