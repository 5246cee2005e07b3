"""Jobs whose worker died go back to the queue; those whose worker lives are left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from webapp.jobs import roster, services
from webapp.jobs.models import Job, Worker
from workers.reaper import Reaper

Claimed = Callable[[], Job]


PATIENT = 30.0  # seconds; a loaded machine is slow, and not a reason to look again


@pytest.fixture(autouse=True)
def patient(settings: Settings) -> None:
    settings.JOB_HEARTBEAT_SECONDS = PATIENT


@pytest.fixture
def reaper() -> Reaper:
    return Reaper()


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queues that were rung for."""
    heard: list[str] = []
    monkeypatch.setattr(services, "ring", heard.append)
    return heard


def age(job: Job, seconds: float) -> None:
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=seconds))


def test_a_job_without_heartbeat_is_put_back(claimed: Claimed, reaper: Reaper, rung: list[str]) -> None:
    job = claimed()
    age(job, 60)
    reaper.look(1000.0)
    row = Job.objects.get(pk=job.pk)
    assert (row.state, row.losses) == ("queued", 1)
    assert "cpu-1@here is gone" in row.reason
    assert "cpu" in rung


def test_a_job_with_a_fresh_heartbeat_is_left_alone(claimed: Claimed, reaper: Reaper) -> None:
    job = claimed()
    age(job, 5)
    reaper.look(1000.0)
    assert Job.objects.get(pk=job.pk).state == "starting"


def test_a_heartbeat_between_the_look_and_the_act_keeps_the_job_with_its_worker(claimed: Claimed) -> None:
    """The reaper has read an old heartbeat; while it waits for the row, the worker's new one gets through."""
    job = claimed()
    age(job, 60)
    with after_the_look(lambda: services.heartbeat(job)):
        assert services.reap() == 0
    assert Job.objects.get(pk=job.pk).state == "starting"


def test_what_held_up_the_reaper_held_up_heartbeats_too_and_it_looks_again(
    claimed: Claimed, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another connection holds the job's row, and with it SQLite's lock, for longer than a heartbeat."""
    settings.JOB_HEARTBEAT_SECONDS = 0.5
    job = claimed()
    age(job, 60)
    held, is_held, may_let_go = services.held, threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with held(job):
                is_held.set()
                may_let_go.wait(60)
        finally:
            connection.close()

    def held_while_another_lets_go(job: Job) -> Any:
        threading.Timer(1.0, may_let_go.set).start()
        return held(job)

    monkeypatch.setattr(services, "held", held_while_another_lets_go)
    writer = threading.Thread(target=hold)
    writer.start()
    assert is_held.wait(60)
    assert services.reap() == 0
    writer.join(60)
    assert Job.objects.get(pk=job.pk).state == "starting"
    settings.JOB_HEARTBEAT_SECONDS = PATIENT
    assert services.reap() == 1
    assert Job.objects.get(pk=job.pk).state == "queued"


@contextmanager
def after_the_look(act: Callable[[], object]) -> Iterator[None]:
    """Do something once, when the reaper has read which jobs are silent and before it asks for anything."""
    todo = [act]

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        found = execute(sql, params, many, context)
        if todo and '"heartbeat_at" < ' in sql:
            todo.pop()()
        return found

    with connection.execute_wrapper(watch):
        yield
    assert not todo, "it looked"


def test_a_stopping_job_whose_worker_died_is_stopped(claimed: Claimed, reaper: Reaper) -> None:
    job = claimed()
    services.stop(job, job.owner)
    age(job, 60)
    reaper.look(1000.0)
    assert Job.objects.get(pk=job.pk).state == "stopped"


def test_a_late_heartbeat_of_a_lost_attempt_is_a_no_op(claimed: Claimed, reaper: Reaper) -> None:
    job = claimed()
    age(job, 60)
    reaper.look(1000.0)
    assert services.heartbeat(job) is None
    assert Job.objects.get(pk=job.pk).state == "queued"


def test_after_a_pause_of_its_own_workers_get_time_to_report(
    claimed: Claimed, reaper: Reaper, settings: Settings
) -> None:
    """The machine slept for an hour: nobody's heartbeat is fresh, and everybody lives."""
    settings.JOB_LOST_SECONDS = 12.0
    job = claimed()
    reaper.look(1000.0)
    age(job, 3600)
    reaper.look(4600.0)
    assert Job.objects.get(pk=job.pk).state == "starting"
    for seconds in (3, 6, 9):
        reaper.look(4600.0 + seconds)
    assert Job.objects.get(pk=job.pk).state == "starting"
    reaper.look(4612.1)
    assert Job.objects.get(pk=job.pk).state == "queued"


def test_the_queue_is_rung_again_for_what_waits(claimed: Claimed, reaper: Reaper, rung: list[str]) -> None:
    job = claimed()
    services.end(job, last=None, exit_status="gone")
    rung.clear()
    reaper.look(1000.0)
    assert rung == ["cpu"]


def test_what_was_abandoned_is_swept_once_an_hour(
    transactional_db: None, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[float] = []
    now = 0.0
    monkeypatch.setattr("webapp.uploads.services.sweep", lambda: swept.append(now))
    monkeypatch.setattr("webapp.orphans.sweep", lambda: swept.append(-now))
    while now < 7300.0:
        reaper.look(now)
        now += 100.0
    assert swept == [0.0, 0.0, 3600.0, -3600.0, 7200.0, -7200.0]


def test_workers_not_seen_for_a_day_are_forgotten(transactional_db: None, reaper: Reaper) -> None:
    for name in ("old", "new"):
        roster.seen(name=name, queue="cpu", host="here", pid=1, facts={})
    Worker.objects.filter(name="old").update(seen_at=timezone.now() - timedelta(days=2))
    reaper.look(1000.0)
    assert list(Worker.objects.values_list("name", flat=True)) == ["new"]


def test_rings_do_not_pile_up_while_no_worker_listens() -> None:
    from webapp.celery import app
    from webapp.jobs.doorbell import ring

    for _ in range(5):
        ring("gpu")
    with app.connection_or_acquire() as connection:
        waiting = app.amqp.queues["gpu"](connection.default_channel).queue_declare()
    assert waiting.message_count == 1  # type: ignore[union-attr]
