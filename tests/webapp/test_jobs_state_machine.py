"""Every transition of a job, in every state, by every cause. When two come at once: test_jobs_at_once.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from mmfrm.events import Checkpointed, Event, Failed, Finished, Progress, Started, Stopped
from tests.synthetic_runs import Story, queued_run, ready_version
from tests.webapp.job_states import in_state, state_of
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs import ordering, services
from webapp.jobs.models import Job, JobEvent

State = Job.State
Wish = Callable[[Job, User], bool]
STORY = Story(epochs=3, steps=12)


@pytest.fixture
def run(editor: User) -> Run:
    return queued_run(editor, ready_version(editor))


# --- by people -------------------------------------------------------------------------------------

WISHES: dict[str, tuple[Wish, dict[str, str]]] = {
    "stop": (
        services.stop,
        {
            State.QUEUED: State.STOPPED,
            State.STARTING: State.STOPPING,
            State.RUNNING: State.STOPPING,
            State.PAUSING: State.STOPPING,
            State.PAUSED: State.STOPPED,
        },
    ),
    "pause": (
        services.pause,
        {State.QUEUED: State.PAUSED, State.STARTING: State.PAUSING, State.RUNNING: State.PAUSING},
    ),
    "resume": (
        services.resume,
        {State.PAUSED: State.QUEUED, State.STOPPED: State.QUEUED, State.FAILED: State.QUEUED},
    ),
}


@pytest.mark.parametrize("state", State.values)
@pytest.mark.parametrize("wish", sorted(WISHES))
def test_a_wish_is_granted_where_it_makes_sense_and_harmless_elsewhere(
    run: Run, editor: User, wish: str, state: str
) -> None:
    act, table = WISHES[wish]
    job = in_state(run, state)
    before = job.last_seq
    assert act(job, editor) is (state in table)
    job.refresh_from_db()
    assert job.state == table.get(state, state)
    noted = JobEvent.objects.filter(job=job, seq__gt=before)
    assert [e.payload["by"] for e in noted] == ["edith"] * (state in table)


@pytest.mark.parametrize("wish", sorted(WISHES))
def test_a_double_click_changes_nothing_more(run: Run, editor: User, wish: str) -> None:
    act, table = WISHES[wish]
    job = in_state(run, next(iter(table)))
    assert act(job, editor)
    after = Job.objects.values().get(pk=job.pk)
    assert not act(job, editor)
    assert Job.objects.values().get(pk=job.pk) == after


def test_resuming_forgets_why_it_rested_and_how_often_it_was_lost(run: Run, editor: User) -> None:
    job = in_state(run, State.FAILED)
    Job.objects.filter(pk=job.pk).update(reason="disk full", losses=6, finished_at=timezone.now())
    services.resume(job, editor)
    job.refresh_from_db()
    assert (job.reason, job.losses, job.finished_at) == ("", 0, None)


# --- by workers ------------------------------------------------------------------------------------


def test_workers_take_what_waits_in_the_order_of_the_queue(editor: User) -> None:
    version = ready_version(editor)
    first, second, third = (queued_run(editor, version, name=name).job for name in "abc")
    ordering.change_places(third, by=editor, up=True)
    taken = [services.claim("gpu", f"gpu-{i}") for i in range(4)]
    assert [job and job.pk for job in taken] == [first.pk, third.pk, second.pk, None]
    assert services.claim("cpu", "cpu-1") is None


def test_claiming_begins_a_new_attempt(run: Run) -> None:
    job = services.claim("gpu", "gpu-7")
    assert job is not None
    assert (job.state, job.attempt, job.worker) == (State.STARTING, 1, "gpu-7")
    assert job.heartbeat_at is not None


@pytest.mark.parametrize("state", State.values)
def test_started_means_running_unless_something_else_is_wished(run: Run, state: str) -> None:
    job = in_state(run, state)
    heard = services.record(job, STORY.started())
    assert heard is (state in Job.ACTIVE)
    assert state_of(job) == (State.RUNNING if state == State.STARTING else state)


LAST: dict[str, Event | None] = {
    "finished": Finished(),
    "failed": Failed(message="no more disk"),
    "stopped": Stopped(reason="asked to"),
    "silent": None,
}
GIVEN_BACK = {State.PAUSING: State.PAUSED, State.STOPPING: State.STOPPED}


@pytest.mark.parametrize("state", State.values)
@pytest.mark.parametrize("last", sorted(LAST))
def test_the_end_of_a_child_in_every_state(run: Run, state: str, last: str) -> None:
    job = in_state(run, state)
    services.end(job, last=LAST[last], exit_status="killed by signal 9")
    expected = state
    if state in Job.ACTIVE:
        expected = last if last in ("finished", "failed") else GIVEN_BACK.get(State(state), State.QUEUED)
    job.refresh_from_db()
    assert job.state == expected
    assert job.losses == (1 if last == "silent" and expected == State.QUEUED and state != State.QUEUED else 0)
    if state in Job.ACTIVE:
        assert job.heartbeat_at is None
    if last == "failed" and state in Job.ACTIVE:
        assert job.reason == "no more disk"


def test_whatever_an_older_attempt_says_is_a_no_op(run: Run) -> None:
    stale = services.claim("gpu", "gpu-1")
    assert stale is not None
    services.end(stale, last=None, exit_status="killed")
    fresh = services.claim("gpu", "gpu-2")
    assert fresh is not None
    before = Job.objects.values().get(pk=run.job_id)
    assert services.heartbeat(stale) is None
    assert not services.record(stale, STORY.epoch_end(0))
    assert not services.record(stale, Progress(done=1, total=2))
    services.end(stale, last=Finished(), exit_status="0")
    services.end(stale, last=None, exit_status="killed")
    assert Job.objects.values().get(pk=run.job_id) == before
    assert services.heartbeat(fresh) == State.STARTING


def test_a_heartbeat_answers_what_is_wished_of_the_job(run: Run, editor: User) -> None:
    job = services.claim("gpu", "gpu-1")
    assert job is not None
    services.record(job, STORY.started())
    assert services.heartbeat(job) == State.RUNNING
    services.pause(job, editor)
    assert services.heartbeat(job) == State.PAUSING
    services.stop(job, editor)
    assert services.heartbeat(job) == State.STOPPING


def test_an_epoch_that_is_told_again_replaces_itself_under_a_new_number(run: Run) -> None:
    job = in_state(run, State.RUNNING)
    for epoch in (0, 1, 2, 1, 2):
        services.record(job, STORY.epoch_end(epoch))
    rows = JobEvent.objects.filter(job=job, kind="epoch").order_by("key")
    assert [row.key for row in rows] == [0, 1, 2]
    seqs = [row.seq for row in rows]
    assert seqs[1:] == [seqs[0] + 3, seqs[0] + 4]
    job.refresh_from_db()
    assert job.last_seq == max(seqs)


# --- by the reaper ---------------------------------------------------------------------------------

LATER = timedelta(seconds=settings.JOB_LOST_SECONDS + 1)


@pytest.mark.parametrize("state", State.values)
def test_what_lost_its_heartbeat_goes_back_to_the_queue_or_where_it_was_wished(run: Run, state: str) -> None:
    job = in_state(run, state)
    active = state in Job.ACTIVE
    assert services.reap(timezone.now() + LATER) == int(active)
    expected = GIVEN_BACK.get(State(state), State.QUEUED) if active else state
    job.refresh_from_db()
    assert job.state == expected
    if active and expected == State.QUEUED:
        assert job.reason == "The worker gpu-1 is gone."
    assert services.reap(timezone.now() + LATER) == 0


def test_a_job_with_a_fresh_heartbeat_stays_with_its_worker(run: Run) -> None:
    job = in_state(run, State.RUNNING)
    assert services.reap() == 0
    assert state_of(job) == State.RUNNING


def test_a_job_that_is_lost_again_and_again_fails_with_the_reason(run: Run) -> None:
    for _ in range(settings.JOB_MOST_LOSSES + 1):
        assert state_of(run.job) == State.QUEUED
        job = services.claim("gpu", "gpu-1")
        assert job is not None
        services.record(job, STORY.started())
        services.reap(timezone.now() + LATER)
    run.job.refresh_from_db()
    assert run.job.state == State.FAILED
    assert "That happened 6 times without a checkpoint between" in run.job.reason


def test_a_checkpoint_between_losses_begins_the_count_anew(run: Run) -> None:
    for _ in range(settings.JOB_MOST_LOSSES + 3):
        job = services.claim("gpu", "gpu-1")
        assert job is not None
        services.record(job, STORY.started())
        services.record(job, Checkpointed(path="last.ckpt", epoch=1, step=12))
        services.reap(timezone.now() + LATER)
    assert state_of(run.job) == State.QUEUED


def test_the_starting_event_of_a_second_attempt_is_recorded(run: Run) -> None:
    job = services.claim("gpu", "gpu-1")
    assert job is not None
    services.record(job, Started(resumed=True))
    assert JobEvent.objects.get(job=job, kind="started").payload["resumed"] is True
