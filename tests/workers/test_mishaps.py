"""What befalls a worker's job from outside costs no epoch, no attempt and no result."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

import pytest

from mmfrm.events import EpochEnd, Event, Finished
from tests.product import wait_until
from tests.workers.test_process import PATIENCE, Claimed, Do, fresh
from webapp.accounts.models import User
from webapp.jobs import kinds, services
from webapp.jobs.models import Job, JobEvent


def test_what_was_said_after_the_job_was_taken_away_is_recorded_by_the_next(
    claimed: Claimed, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reaper takes the job while three epochs, written at once, wait to be recorded."""
    job = claimed()
    record = services.record

    def taken_away_before_epoch_1(job: Job, event: Event) -> bool:
        if isinstance(event, EpochEnd) and event.epoch == 1 and job.attempt == 1:
            services.end(job, last=None, exit_status="a worker that was silent")
        return record(job, event)

    monkeypatch.setattr(services, "record", taken_away_before_epoch_1)
    do(
        job,
        """
say("started"); epoch(0)
lines = []
say = lambda kind, **fields: lines.append(json.dumps({"kind": kind, **fields}).encode() + b"\\n")
[epoch(number) for number in (1, 2, 3)]
log.write(b"".join(lines))
os.write(1, b"".join(lines))
time.sleep(600)
""",
    )
    assert epochs_of(job) == [0]
    again = services.claim("cpu", "cpu-2@here")
    assert again is not None
    do(again, 'say("started", resumed=True); epoch(4); say("finished")')
    assert fresh(job).state == "finished"
    assert epochs_of(job) == [0, 1, 2, 3, 4]


def epochs_of(job: Job) -> list[int | None]:
    rows = JobEvent.objects.filter(job=job, kind="epoch").order_by("seq")
    return list(rows.values_list("key", flat=True))


def test_a_job_lives_while_it_is_prepared_however_long_that_takes(
    claimed: Claimed, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed()
    prepare, first = services.prepare, fresh(job).heartbeat_at

    def slow(job: Job) -> Path:
        wait_until(lambda: fresh(job).heartbeat_at != first, PATIENCE, "a heartbeat")
        return prepare(job)

    monkeypatch.setattr(services, "prepare", slow)
    do(job, 'say("started"); say("finished")')
    assert (fresh(job).state, fresh(job).reason) == ("finished", "")


def test_a_job_whose_result_cannot_be_kept_fails_with_the_remedy_and_can_be_resumed(
    claimed: Claimed, do: Do, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(job: Job, event: Event) -> None:
        if isinstance(event, Finished):
            raise OSError(errno.ENOSPC, "No space left on device")

    job = claimed()
    with monkeypatch.context() as full:
        full.setitem(kinds._kinds, "scripted", dataclasses.replace(kinds.of(job), on_event=refuse))
        do(job, 'say("started"); say("finished", result={"faces": 3})')
    row = fresh(job)
    assert (row.state, row.result) == ("failed", {})
    assert row.reason.startswith("Its result could not be kept. The disk is full. Free some space")
    assert services.resume(row, owner)
    again = services.claim("cpu", "cpu-1@here")
    assert again is not None
    do(again, 'say("started", resumed=True); say("finished", result={"faces": 3})')
    assert (fresh(job).state, fresh(job).result) == ("finished", {"faces": 3})
