"""kill -9 of each part of the product while a training is in each state of the state machine.

Each part is killed while nine trainings are in the nine states; the tables say what must become of each
pair. Row, socket and page must then say one thing, and it must be so; -rP prints after how many seconds.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import psutil
import pytest

from tests.product import start_product, wait_until
from tests.workers.stage import PATIENCE, SETTINGS, STATES, Row, Stage
from workers.served import is_healthy

pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.slow, pytest.mark.timeout(900)]

# In which states a training may be once everything is back and has done what was wished of it.
AFTERWARDS: dict[str, tuple[str, ...]] = {
    "queued": ("queued", "starting", "running"),  # a worker may have come free
    "starting": ("running",),
    "running": ("running",),
    "pausing": ("paused",),
    "stopping": ("stopped",),
    "paused": ("paused",),
    "stopped": ("stopped",),
    "finished": ("finished",),
    "failed": ("failed",),
}
# Whose work is lost with what is killed, and who therefore begins a new attempt. All others keep theirs.
LOSES: dict[str, tuple[str, ...]] = {
    "socket": (),
    "web": (),
    "broker": (),
    "reaper": (),
    "child": ("starting", "running"),
    "worker": ("starting", "running"),
    "supervisor": ("starting", "running"),
}
HARMLESS = tuple(victim for victim, lost in LOSES.items() if not lost)
HARMFUL = tuple(victim for victim, lost in LOSES.items() if lost)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage.set_up(tmp_path_factory.mktemp("states"))
    yield stage
    stage.tear_down()


# --- how each is killed, and when it is back -----------------------------------------------------------


def kill_sockets(stage: Stage, held: list[psutil.Process]) -> None:
    before = {job: follower.openings for job, follower in stage.followers.items()}
    for follower in stage.followers.values():
        follower.cut()
    wait_until(
        lambda: all(f.openings > before[job] for job, f in stage.followers.items()), PATIENCE, "new sockets"
    )


def kill_service(name: str) -> Callable[[Stage, list[psutil.Process]], None]:
    def kill(stage: Stage, held: list[psutil.Process]) -> None:
        before = stage.product.processes()[name]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: stage.product.processes().get(name, before) != before, PATIENCE, f"a new {name}")
        wait_until(lambda: is_healthy(stage.product.url), PATIENCE, "pages")

    return kill


def kill_children(stage: Stage, held: list[psutil.Process]) -> None:
    for child in held:
        child.kill()


def kill_workers(stage: Stage, held: list[psutil.Process]) -> None:
    stage.kill_workers(signal.SIGKILL)
    let_go(held)
    stage.start_more_workers()


def kill_supervisor(stage: Stage, held: list[psutil.Process]) -> None:
    old = stage.product
    old.process.kill()
    stage.kill_workers(signal.SIGTERM)  # as the undertaker does to those that the supervisor started
    let_go(held)
    stage.product = start_product(old.data_dir, patience=PATIENCE, PORT=str(old.port), **SETTINGS)
    stage.start_more_workers()


def let_go(held: list[psutil.Process]) -> None:
    for child in held:
        if child.is_running():
            child.resume()


KILLS: dict[str, Callable[[Stage, list[psutil.Process]], None]] = {
    "socket": kill_sockets,
    "web": kill_service("web"),
    "broker": kill_service("broker"),
    "reaper": kill_service("reaper"),
    "child": kill_children,
    "worker": kill_workers,
    "supervisor": kill_supervisor,
}


def rows_of(stage: Stage, scene: dict[str, int]) -> dict[str, Row]:
    return {state: stage.row(job) for state, job in scene.items()}


def await_the_truth(
    stage: Stage, scene: dict[str, int], victim: str, expected: dict[str, tuple[str, ...]]
) -> None:
    began = time.monotonic()
    wait_until(
        lambda: all(stage.tells_the_truth(job, STATES) for job in scene.values()), PATIENCE, "the truth"
    )
    told = time.monotonic() - began
    for state, job in scene.items():
        what = f"the page of the {state} job says {expected[state]} after the {victim} was killed"
        wait_until(partial(stage.tells_the_truth, job, expected[state]), PATIENCE, what)
    done = time.monotonic() - began
    print(f"{victim} is back: pages true {told:.1f} s later, jobs as wished {done:.1f} s later")


def check_what_became_of_it(stage: Stage, scene: dict[str, int], before: dict[str, Row], victim: str) -> None:
    for state, after in rows_of(stage, scene).items():
        assert after.epochs == list(range(len(after.epochs))), state
        assert len(after.epochs) >= len(before[state].epochs), state
        if state != "queued":
            assert after.attempt == before[state].attempt + (state in LOSES[victim]), state


def test_what_only_shows_and_rings_is_killed_and_no_job_in_any_state_notices(stage: Stage) -> None:
    scene, children = stage.arrange(), stage.children()
    before = rows_of(stage, scene)
    for victim in HARMLESS:
        KILLS[victim](stage, children)
        await_the_truth(stage, scene, victim, {state: (state,) for state in STATES})
        check_what_became_of_it(stage, scene, before, victim)
    let_go(children)
    await_the_truth(stage, scene, "reaper", AFTERWARDS)
    check_what_became_of_it(stage, scene, before, "reaper")


@pytest.mark.parametrize("victim", HARMFUL)
def test_what_works_is_killed_and_every_job_goes_on_or_rests_as_was_wished(stage: Stage, victim: str) -> None:
    scene, children = stage.arrange(), stage.children()
    before = rows_of(stage, scene)
    KILLS[victim](stage, children)
    await_the_truth(stage, scene, victim, AFTERWARDS)
    check_what_became_of_it(stage, scene, before, victim)


def test_in_the_end_the_sockets_have_brought_every_point_once(stage: Stage) -> None:
    for job in stage.live:
        stage.visitor.post(f"/jobs/{job}/stop/", {})
    for job, follower in stage.followers.items():
        states = ("stopped",) if job in stage.live else STATES
        wait_until(partial(stage.tells_the_truth, job, states), PATIENCE, "all at rest")
        row = stage.row(job)
        assert follower.seq == row.last_seq
        assert follower.seqs == sorted(set(follower.seqs))
        stored = stage.product.rows(
            "SELECT key, seq FROM jobs_jobevent WHERE job_id = ? AND kind = 'epoch'", job
        )
        assert follower.epochs == dict(stored)
        assert row.epochs == list(range(len(row.epochs)))
    assert sum(len(stage.row(job).epochs) > 0 for job in stage.live) >= 3
