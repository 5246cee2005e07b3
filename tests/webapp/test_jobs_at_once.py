"""Two and more at once: buttons, workers, losses. One outcome, and everybody is told the truth."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
from django.db import connection
from django.test import Client

from mmfrm.events import StepDone
from tests.synthetic_runs import Story, queued_run, ready_version
from tests.webapp.job_states import in_state, state_of, states_told
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs import services, wording
from webapp.jobs.models import Job, JobEvent

State = Job.State
Wish = Callable[[Job, User], bool]
STORY = Story(epochs=3, steps=12)
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(editor: User) -> Run:
    return queued_run(editor, ready_version(editor))


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do all in threads of their own, from one starting line; answers in order."""
    line = threading.Barrier(len(acts))
    answers: list[object] = [None] * len(acts)

    def do(i: int, act: Callable[[], object]) -> None:
        try:
            line.wait()
            answers[i] = act()
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_eight_workers_at_once_take_each_job_once(editor: User) -> None:
    version = ready_version(editor)
    waiting = [queued_run(editor, version, name=str(i)).job_id for i in range(5)]
    acts = [partial(services.claim, "gpu", f"gpu-{i}") for i in range(8)]
    taken = [job for job in at_once(*acts) if isinstance(job, Job)]
    assert sorted(job.pk for job in taken) == sorted(waiting)
    assert len({job.worker for job in taken}) == len(waiting)
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}


LEGAL = {
    (State.QUEUED, State.STARTING),
    (State.QUEUED, State.PAUSED),
    (State.QUEUED, State.STOPPED),
    (State.STARTING, State.PAUSING),
    (State.STARTING, State.STOPPING),
    (State.RUNNING, State.PAUSING),
    (State.RUNNING, State.STOPPING),
    (State.RUNNING, State.FINISHED),
    (State.RUNNING, State.QUEUED),
    (State.PAUSING, State.STOPPING),
    (State.PAUSING, State.PAUSED),
    (State.PAUSING, State.FINISHED),
    (State.PAUSED, State.STOPPED),
    (State.PAUSED, State.QUEUED),
    (State.STOPPING, State.STOPPED),
    (State.STOPPING, State.FINISHED),
    (State.STOPPED, State.QUEUED),
    (State.FAILED, State.QUEUED),
}


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.PAUSED, State.STOPPED, State.FAILED])
def test_opposite_buttons_at_once_leave_a_story_that_makes_sense(run: Run, editor: User, state: str) -> None:
    job = in_state(run, state)
    told = len(states_told(job))
    at_once(*[partial(act, job, editor) for act in (services.stop, services.resume) * 2])
    at_once(*[partial(act, job, editor) for act in (services.pause, services.stop) * 2])
    path = [state, *states_told(job)[told:]]
    assert set(pairwise(path)) <= LEGAL
    assert path[-1] == state_of(job)


# Two buttons pressed at once in two browsers, in each state that shows both or is shown with a page that is
# a moment old: which ends there may be, by who came first.
OPPOSITE: dict[tuple[str, str, str], tuple[str, ...]] = {
    (State.QUEUED, "pause", "stop"): (State.STOPPED,),
    (State.QUEUED, "pause", "resume"): (State.PAUSED, State.QUEUED),
    (State.QUEUED, "stop", "resume"): (State.STOPPED, State.QUEUED),
    (State.STARTING, "pause", "stop"): (State.STOPPING,),
    (State.RUNNING, "pause", "stop"): (State.STOPPING,),
    (State.RUNNING, "pause", "resume"): (State.PAUSING,),
    (State.PAUSING, "stop", "resume"): (State.STOPPING,),
    (State.PAUSED, "stop", "resume"): (State.QUEUED, State.STOPPED),
    (State.STOPPING, "pause", "resume"): (State.STOPPING,),
    (State.STOPPED, "pause", "resume"): (State.QUEUED, State.PAUSED),
    (State.STOPPED, "stop", "resume"): (State.QUEUED, State.STOPPED),
    (State.FAILED, "pause", "resume"): (State.QUEUED, State.PAUSED),
    (State.FAILED, "stop", "resume"): (State.QUEUED, State.STOPPED),
    (State.FINISHED, "stop", "resume"): (State.FINISHED,),
}


@pytest.mark.parametrize(("state", "one", "other"), OPPOSITE)
def test_opposite_buttons_in_two_browsers_have_one_outcome_and_both_are_told_it(
    run: Run, client_of: Callable[[User], Client], state: str, one: str, other: str
) -> None:
    job = in_state(run, state)
    before = job.last_seq
    clients = {button: client_of(run.owner) for button in (one, other)}

    def press(button: str) -> str:
        answer = clients[button].post(f"/jobs/{job.pk}/{button}/", headers={"HX-Request": "true"})
        assert answer.status_code == 200
        found = re.search(r'class="job-said" role="status">(.+?)</span>', answer.content.decode())
        assert found is not None
        return found.group(1)

    said = [str(one) for one in at_once(partial(press, one), partial(press, other))]
    path = [
        state,
        *[e.payload["state"] for e in JobEvent.objects.filter(job=job, kind="state", seq__gt=before)],
    ]
    assert set(pairwise(path)) <= LEGAL
    assert path[-1] == state_of(job)
    assert path[-1] in OPPOSITE[state, one, other]
    # Each was told a state that the job was really in at the time, and what it did or why nothing.
    may_be_said = {
        wording.what_happened(Job(state=passed), changed=changed)
        for passed in path
        for changed in (True, False)
    }
    assert set(said) <= may_be_said
    nothing = sum("Nothing to do" in one for one in said)
    assert nothing == 2 - (len(path) - 1)


@pytest.mark.parametrize("wish", [services.pause, services.stop])
def test_a_wish_at_the_moment_of_a_loss_is_never_forgotten(run: Run, editor: User, wish: Wish) -> None:
    job = in_state(run, State.RUNNING)
    asked, _ = at_once(
        lambda: wish(job, editor), lambda: services.end(job, last=None, exit_status="killed by signal 9")
    )
    assert asked
    assert state_of(job) in (State.PAUSED, State.STOPPED)


def test_many_writers_at_once_leave_no_gap_and_no_duplicate(run: Run) -> None:
    job = in_state(run, State.RUNNING)
    steps = list(STORY.steps_of(0, every=1))

    def say(part: list[StepDone]) -> None:
        for step in part:
            services.record(job, step)

    at_once(*[partial(say, steps[i::4]) for i in range(4)])
    seqs = list(JobEvent.objects.filter(job=job).order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) == 1 + len(steps)
