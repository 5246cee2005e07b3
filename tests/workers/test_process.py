"""What a worker makes of a child's words, its silence and its death."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django import Settings

from mmfrm.events import Event
from tests.product import wait_until
from webapp.accounts.models import User
from webapp.jobs import services
from webapp.jobs.models import Job, JobEvent
from workers import process

Claimed = Callable[[], Job]
Do = Callable[[Job, str], None]

UNTIL_ASKED = """
say("started")
command = sys.stdin.readline()
say("stopped", reason="asked by " + repr(command))
sys.exit(3)
"""
PATIENCE = 60.0  # seconds that nothing takes but on a machine that others have
DEAF = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
say("started")
time.sleep(600)
"""


def in_background(do: Do, job: Job, script: str) -> threading.Thread:
    thread = threading.Thread(target=do, args=(job, script))
    thread.start()
    return thread


def fresh(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def wait_for_state(job: Job, state: str) -> None:
    wait_until(lambda: fresh(job).state == state, PATIENCE, f"job {state}")


def test_every_event_of_a_child_is_recorded_in_order(claimed: Claimed, do: Do, noted: list[Event]) -> None:
    job = claimed()
    do(job, 'say("started"); epoch(0); epoch(1); say("finished", result={"accuracy": 0.5})')
    assert fresh(job).state == "finished"
    assert fresh(job).result == {"accuracy": 0.5}
    assert [event.kind for event in noted] == ["started", "epoch", "epoch", "finished"]
    rows = JobEvent.objects.filter(job=job, kind="epoch").order_by("seq")
    assert [row.key for row in rows] == [0, 1]


def test_a_child_that_fails_gives_its_reason_and_leaves_its_traceback_in_the_log(
    claimed: Claimed, do: Do
) -> None:
    job = claimed()
    do(job, 'say("failed", message="The disk is full.", detail="Traceback: line 7"); sys.exit(1)')
    assert (fresh(job).state, fresh(job).reason) == ("failed", "The disk is full.")
    assert "Traceback: line 7" in (services.folder_of(job) / "log.txt").read_text()


def test_a_child_that_dies_without_a_word_is_a_loss_and_its_last_words_are_the_reason(
    claimed: Claimed, do: Do
) -> None:
    job = claimed()
    do(
        job,
        'say("started"); print("the GPU fell off", file=sys.stderr); os.kill(os.getpid(), signal.SIGKILL)',
    )
    row = fresh(job)
    assert (row.state, row.losses) == ("queued", 1)
    assert "SIGKILL" in row.reason
    assert "the GPU fell off" in row.reason


def test_a_child_that_is_lost_too_often_fails(claimed: Claimed, do: Do, settings: Settings) -> None:
    settings.JOB_MOST_LOSSES = 1
    job = claimed()
    do(job, "sys.exit(9)")
    again = services.claim("cpu", "cpu-1@here")
    assert again is not None
    do(again, "sys.exit(9)")
    assert fresh(job).state == "failed"
    assert "exit code 9" in fresh(job).reason


def test_a_library_that_prints_does_not_disturb_the_events(claimed: Claimed, do: Do) -> None:
    job = claimed()
    do(job, 'print("hello from a library", flush=True); say("finished")')
    assert fresh(job).state == "finished"
    assert "hello from a library" in (services.folder_of(job) / "log.txt").read_text()


def test_a_job_that_cannot_be_prepared_fails_with_the_reason(
    claimed: Claimed, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(job: Job) -> Path:
        raise LookupError("its data set was deleted")

    job = claimed()
    monkeypatch.setattr(services, "prepare", refuse)
    do(job, "")
    assert fresh(job).state == "failed"
    assert "its data set was deleted" in fresh(job).reason


def test_a_wish_to_stop_reaches_the_child_as_a_command(claimed: Claimed, do: Do, owner: User) -> None:
    job = claimed()
    thread = in_background(do, job, UNTIL_ASKED)
    wait_for_state(job, "running")
    assert services.stop(job, owner)
    thread.join(PATIENCE)
    assert fresh(job).state == "stopped"


def test_a_paused_job_can_be_resumed_and_runs_again(claimed: Claimed, do: Do, owner: User) -> None:
    job = claimed()
    thread = in_background(do, job, UNTIL_ASKED)
    wait_for_state(job, "running")
    assert services.pause(job, owner)
    thread.join(PATIENCE)
    assert fresh(job).state == "paused"
    assert services.resume(fresh(job), owner)
    again = services.claim("cpu", "cpu-1@here")
    assert again is not None
    do(again, 'say("started", resumed=True); say("finished")')
    assert (fresh(job).state, fresh(job).attempt) == ("finished", 2)


def test_a_deaf_child_is_killed_after_the_grace(
    claimed: Claimed, do: Do, owner: User, settings: Settings
) -> None:
    settings.JOB_GRACE_SECONDS = 1.0
    job = claimed()
    thread = in_background(do, job, DEAF)
    wait_for_state(job, "running")
    asked_at = time.monotonic()
    services.stop(job, owner)
    thread.join(PATIENCE)
    assert fresh(job).state == "stopped"
    assert time.monotonic() - asked_at < 30  # half of the grace that jobs have otherwise


def test_a_child_with_children_leaves_none_behind(claimed: Claimed, do: Do, tmp_path: Path) -> None:
    job = claimed()
    do(
        job,
        """
import subprocess
child = subprocess.Popen(["sleep", "600"])
open(os.path.join(folder, "grandchild"), "w").write(str(child.pid))
say("started")
os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    pid = int((services.folder_of(job) / "grandchild").read_text())
    wait_until(lambda: not is_running(pid), PATIENCE, "the grandchild gone")
    assert fresh(job).state == "queued"


def is_running(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_worker_that_leaves_puts_its_job_back_without_counting_a_loss(
    claimed: Claimed, do: Do, leaving: threading.Event
) -> None:
    job = claimed()
    thread = in_background(do, job, UNTIL_ASKED)
    wait_for_state(job, "running")
    leaving.set()
    thread.join(PATIENCE)
    row = fresh(job)
    assert (row.state, row.losses, row.reason) == ("queued", 0, "Its worker was shut down.")


def test_a_worker_that_leaves_does_not_wait_for_a_deaf_child(
    claimed: Claimed, do: Do, leaving: threading.Event, settings: Settings
) -> None:
    settings.WORKER_LEAVE_SECONDS = 1.0
    job = claimed()
    thread = in_background(do, job, DEAF)
    wait_for_state(job, "running")
    leaving.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (fresh(job).state, fresh(job).losses) == ("queued", 0)


def test_a_job_given_to_another_worker_is_let_go(claimed: Claimed, do: Do) -> None:
    job = claimed()
    thread = in_background(do, job, DEAF)
    wait_for_state(job, "running")
    Job.objects.filter(pk=job.pk).update(attempt=2, worker="cpu-2@there")
    thread.join(PATIENCE)
    assert not thread.is_alive()
    row = fresh(job)
    assert (row.state, row.attempt, row.worker) == ("running", 2, "cpu-2@there")


def test_a_database_that_is_away_loses_no_event_and_stops_no_child(
    claimed: Claimed, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed()
    record, failures = services.record, iter(range(6))

    def unreliable(job: Job, event: Event) -> bool:
        if next(failures, None) is not None:
            raise OperationalError("database is locked")
        return record(job, event)

    monkeypatch.setattr(services, "record", unreliable)
    do(job, 'say("started"); [epoch(n) for n in range(20)]; say("finished")')
    assert fresh(job).state == "finished"
    keys = JobEvent.objects.filter(job=job, kind="epoch").order_by("seq").values_list("key", flat=True)
    assert list(keys) == list(range(20))


def test_an_event_that_its_app_chokes_on_does_not_end_the_job(
    claimed: Claimed, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed()
    record = services.record

    def choking(job: Job, event: Event) -> bool:
        if event.kind == "notice":
            raise KeyError("a bug")
        return record(job, event)

    monkeypatch.setattr(services, "record", choking)
    do(job, 'say("started"); say("notice", text="hm"); say("finished")')
    assert fresh(job).state == "finished"
    assert "could not be recorded" in (services.folder_of(job) / "log.txt").read_text()


def test_what_a_killed_workers_child_said_is_recorded_by_the_next(
    claimed: Claimed, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the worker's death and its own end, a child says an epoch and a torn line."""
    job = claimed()
    do(job, 'say("started"); epoch(0); sys.exit(9)')
    with (services.folder_of(job) / "events.jsonl").open("ab") as said_to_nobody:
        said_to_nobody.write(
            b'{"kind":"epoch","epoch":1,"step":1,"train":{},"val":{},"learning_rate":0,"gradient_norm":0,'
            b'"images_per_second":0,"seconds":0,"memory_bytes":0}\n{"kind":"stopped","reason":"x"}\n{"kind":"ep\n'
        )
    again = services.claim("cpu", "cpu-2@here")
    assert again is not None
    do(again, 'say("started", resumed=True); epoch(2); say("finished")')
    assert fresh(job).state == "finished"
    rows = JobEvent.objects.filter(job=job, kind="epoch").order_by("seq")
    assert [row.key for row in rows] == [0, 1, 2]


def test_a_full_disk_beside_the_job_stops_nobody(claimed: Claimed, do: Do) -> None:
    """Neither the log nor the mark of what is recorded can be written; the events still arrive."""
    job = claimed()
    folder = services.folder_of(job)
    (folder / "recorded").mkdir(parents=True)
    do(job, 'say("started"); epoch(0); say("failed", message="The disk is full.", detail="x"); sys.exit(1)')
    assert (fresh(job).state, fresh(job).reason) == ("failed", "The disk is full.")
    assert JobEvent.objects.filter(job=job, kind="epoch").count() == 1


def test_an_epoch_said_twice_is_stored_once(claimed: Claimed, do: Do) -> None:
    job = claimed()
    do(job, 'say("started"); epoch(0); epoch(1); sys.exit(9)')
    again = services.claim("cpu", "cpu-2@here")
    assert again is not None
    do(again, 'say("started", resumed=True); epoch(1); epoch(2); say("finished")')
    keys = JobEvent.objects.filter(job=job, kind="epoch").order_by("seq").values_list("key", flat=True)
    assert list(keys) == [0, 1, 2]


def test_a_running_job_keeps_its_heartbeat_fresh(claimed: Claimed, do: Do, owner: User) -> None:
    job = claimed()
    thread = in_background(do, job, UNTIL_ASKED)
    wait_for_state(job, "running")
    first = fresh(job).heartbeat_at
    wait_until(lambda: fresh(job).heartbeat_at != first, PATIENCE, "a newer heartbeat")
    services.stop(job, owner)
    thread.join(PATIENCE)


def test_the_command_of_a_job_is_the_one_that_works_from_a_shell(tmp_path: Path) -> None:
    command: list[Any] = process.command_of(tmp_path)
    assert command[1:] == ["-m", "mmfrm", "run", str(tmp_path), "--events", "json"]


def test_orders_reach_the_child_with_the_heartbeat_and_its_stop_on_order_is_an_end(
    claimed: Claimed, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed()
    orders: list[dict[str, Any]] = []
    monkeypatch.setattr(services, "orders", lambda job: list(orders))
    thread = in_background(
        do, job, 'say("started"); said = sys.stdin.readline(); say("stopped", reason=said, on_order=True)'
    )
    wait_for_state(job, "running")
    asked_at = time.monotonic()
    orders.append({"number": 1, "do": "stop_after", "value": 0.0})
    wait_for_state(job, "stopped")
    assert time.monotonic() - asked_at < process.LINGER  # by itself, and not because it was killed
    thread.join(PATIENCE)
    assert json.loads(fresh(job).reason) == {"do": "steer", "orders": orders}
