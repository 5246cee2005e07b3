"""Buttons of jobs, the queue and the log: what is done, what is said about it, and who sees what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from mmfrm.events import Failed, Notice
from tests.synthetic_runs import Story, play, queued_run, ready_version
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs import ordering, roster, services
from webapp.jobs.models import Job, JobEvent, Worker

ClientOf = Callable[[User], Client]
HTMX: dict[str, Any] = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def run(editor: User) -> Run:
    return queued_run(editor, ready_version(editor), name="first run")


def order() -> list[str]:
    waiting = Job.objects.filter(state=Job.State.QUEUED).order_by("position", "id")
    return list(waiting.values_list("title", flat=True))


def a_worker(name: str = "gpu-1@lab") -> None:
    roster.seen(name=name, queue="gpu", host="lab", pid=1, facts={"threads": 2})


# --- buttons ---------------------------------------------------------------------------------------


def test_a_button_without_javascript_goes_back_to_the_page_and_says_what_happened(
    run: Run, client_of: ClientOf
) -> None:
    play(run, Story(steps=12), range(1))
    answer = client_of(run.owner).post(f"/jobs/{run.job_id}/stop/", follow=True)
    assert answer.redirect_chain == [(f"/experiments/runs/{run.pk}/", 302)]
    assert "Stopping: it writes a checkpoint first." in answer.content.decode()


def test_a_button_with_htmx_brings_the_buttons_that_are_left(run: Run, client_of: ClientOf) -> None:
    play(run, Story(steps=12), range(1))
    page = client_of(run.owner).post(f"/jobs/{run.job_id}/pause/", **HTMX).content.decode()
    assert "Pausing: it writes a checkpoint first." in page
    assert f'action="/jobs/{run.job_id}/pause/"' not in page
    assert f'action="/jobs/{run.job_id}/stop/"' in page


def test_the_second_click_is_told_that_there_is_nothing_to_do(run: Run, client_of: ClientOf) -> None:
    client, url = client_of(run.owner), f"/jobs/{run.job_id}/stop/"
    assert "Stopped. It can be resumed." in client.post(url, **HTMX).content.decode()
    assert "Nothing to do: it is already stopped." in client.post(url, **HTMX).content.decode()


def test_buttons_are_no_links(run: Run, client_of: ClientOf) -> None:
    client = client_of(run.owner)
    for name in ("stop", "pause", "resume", "up", "down"):
        assert client.get(f"/jobs/{run.job_id}/{name}/").status_code == 405
    assert Job.objects.get(pk=run.job_id).state == Job.State.QUEUED


def test_who_may_not_steer_is_told_who_may(run: Run, viewer: User, client_of: ClientOf) -> None:
    answer = client_of(viewer).post(f"/jobs/{run.job_id}/stop/")
    assert answer.status_code == 403
    assert "Only edith or an administrator may steer first run." in answer.content.decode()


# --- the queue -------------------------------------------------------------------------------------


def test_waiting_jobs_change_places_and_the_history_says_who_did_it(
    editor: User, client_of: ClientOf
) -> None:
    version = ready_version(editor)
    jobs = [queued_run(editor, version, name=name).job for name in "abcd"]
    client = client_of(editor)
    client.post(f"/jobs/{jobs[3].pk}/up/")
    client.post(f"/jobs/{jobs[3].pk}/up/")
    assert order() == ["a", "d", "b", "c"]
    client.post(f"/jobs/{jobs[0].pk}/down/")
    assert order() == ["d", "a", "b", "c"]
    assert JobEvent.objects.filter(job=jobs[3], kind="moved", payload__by="edith").count() == 2


def test_the_first_cannot_go_further_up_nor_the_last_further_down(editor: User) -> None:
    version = ready_version(editor)
    first, last = (queued_run(editor, version, name=name).job for name in "ab")
    assert not ordering.change_places(first, by=editor, up=True)
    assert not ordering.change_places(last, by=editor, up=False)
    assert order() == ["a", "b"]


def test_what_runs_cannot_be_moved(editor: User) -> None:
    version = ready_version(editor)
    first, second = (queued_run(editor, version, name=name) for name in "ab")
    play(second, Story(steps=12), range(1))
    assert not ordering.change_places(second.job, by=editor, up=True)
    assert order() == [first.name]


def test_equal_positions_are_put_in_order_when_one_is_moved(editor: User) -> None:
    version = ready_version(editor)
    jobs = [queued_run(editor, version, name=name).job for name in "abc"]
    Job.objects.update(position=5)
    assert ordering.change_places(jobs[2], by=editor, up=True)
    assert order() == ["a", "c", "b"]


def test_a_job_that_comes_later_waits_behind_those_that_were_moved(editor: User) -> None:
    version = ready_version(editor)
    jobs = [queued_run(editor, version, name=name).job for name in "abc"]
    ordering.change_places(jobs[2], by=editor, up=True)
    queued_run(editor, version, name="d")
    assert order() == ["a", "c", "b", "d"]


def test_the_queue_says_what_runs_where_and_why_something_waits(editor: User, client_of: ClientOf) -> None:
    version = ready_version(editor)
    runs = [queued_run(editor, version, name=name) for name in ("running one", "next one", "later one")]
    client = client_of(editor)
    assert "No worker of the training queue is running." in client.get("/jobs/").content.decode()
    a_worker()
    play(runs[0], Story(steps=12), range(1))
    page = client.get("/jobs/").content.decode()
    assert "gpu-1@lab" in page
    assert "Next, as soon as a worker is free." in page
    assert "1 ahead of it in the queue." in page


def test_a_job_whose_worker_is_gone_is_still_on_the_page(editor: User, run: Run, client_of: ClientOf) -> None:
    a_worker()
    play(run, Story(steps=12), range(1))
    Worker.objects.update(seen_at=timezone.now() - timedelta(minutes=5))
    page = client_of(editor).get("/jobs/").content.decode()
    assert "first run" in page
    assert "gpu-1@lab was not seen lately" in page


def test_private_work_of_others_is_counted_but_not_named(
    run: Run, viewer: User, administrator: User, client_of: ClientOf
) -> None:
    Run.objects.update(private=True)
    page = client_of(viewer).get("/jobs/queue/").content.decode()
    assert "first run" not in page
    assert "Private work of edith" in page
    assert f"/experiments/runs/{run.pk}/" not in page
    assert "first run" in client_of(administrator).get("/jobs/queue/").content.decode()


# --- the log ---------------------------------------------------------------------------------------


def test_the_log_tells_the_story_newest_first_in_words(run: Run, client_of: ClientOf) -> None:
    job = play(run, Story(steps=12), range(1))
    services.record(job, Notice(level="warning", text="α has fallen to 0.010."))
    failure = Failed(message="The loss is no longer a number.", detail="Traceback of 40 lines")
    services.record(job, failure)
    services.end(job, last=failure, exit_status="1")
    (run.folder).mkdir(parents=True)
    (run.folder / "log.txt").write_text("cut off\n" * 4000 + "a last line of the process\n")
    page = client_of(run.owner).get(f"/jobs/{job.pk}/log/").content.decode()
    told = ("a last line of the process", "Failed", "Traceback of 40 lines", "α has fallen", "Began to work")
    for text in told:
        assert text in page, text
    assert page.index("α has fallen") < page.index("Began to work")
    assert len(page) < 60_000


def test_nobody_reads_the_log_of_a_hidden_run(run: Run, viewer: User, client_of: ClientOf) -> None:
    Run.objects.update(private=True)
    assert client_of(viewer).get(f"/jobs/{run.job_id}/log/").status_code == 404
