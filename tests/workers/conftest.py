"""A kind of job whose child is whatever a test writes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_django import Settings

from mmfrm.events import Event
from mmfrm.jobs import DrawJob
from workers import process

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.jobs.models import Job

PREAMBLE = """
import json, os, signal, sys, time
folder = sys.argv[1]
log = open(os.path.join(folder, "events.jsonl"), "ab", buffering=0)
def say(kind, **fields):
    line = json.dumps({"kind": kind, **fields}).encode() + b"\\n"
    log.write(line)
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
def epoch(number):
    say("epoch", epoch=number, step=number, train={}, val={}, learning_rate=0.0, gradient_norm=0.0,
        images_per_second=0.0, seconds=0.0, memory_bytes=0)
"""


@pytest.fixture
def noted() -> list[Event]:
    """What the kind's `on_event` was given."""
    return []


@pytest.fixture(autouse=True)
def scripted_kind(noted: list[Event], tmp_path: Path, settings: Settings) -> Iterator[None]:
    """Registers the kind "scripted", and lets jobs live in the test's own folder."""
    from webapp.jobs import kinds

    def prepare(job: Job) -> DrawJob:
        return DrawJob(out=str(tmp_path / "out"))

    settings.DATA_DIR = tmp_path
    settings.JOB_HEARTBEAT_SECONDS = 0.1
    kinds.register(
        kinds.Kind(
            name="scripted",
            queue="cpu",
            subject=lambda job: job.owner,  # type: ignore[arg-type, return-value]
            url=lambda job: "/",
            prepare=prepare,
            on_event=lambda job, event: noted.append(event),
        )
    )
    yield
    del kinds._kinds["scripted"]


@pytest.fixture
def claimed(transactional_db: None) -> Callable[[], Job]:
    """Makes a scripted job and claims it."""
    from webapp.accounts.models import User
    from webapp.jobs import services

    def make() -> Job:
        owner, _ = User.objects.get_or_create(username="edith", defaults={"role": "editor"})
        services.create(kind="scripted", queue="cpu", owner=owner, title="a test")
        job = services.claim("cpu", "cpu-1@here")
        assert job is not None
        return job

    return make


@pytest.fixture
def leaving() -> threading.Event:
    """Set by a test that shuts the worker down."""
    return threading.Event()


@pytest.fixture
def do(tmp_path: Path, leaving: threading.Event) -> Callable[[Job, str], None]:
    """Runs a claimed job with a child that does what a snippet says."""

    def run(job: Job, script: str) -> None:
        path = tmp_path / f"child-{job.pk}-{job.attempt}.py"
        path.write_text(PREAMBLE + script)

        def command(folder: Path) -> Sequence[str]:
            return [sys.executable, str(path), str(folder)]

        process.run(job, host="here", leaving=leaving, command=command)

    return run


@pytest.fixture
def owner(claimed: Callable[[], Job]) -> User:
    """Whose jobs they are."""
    from webapp.accounts.models import User

    return User.objects.get_or_create(username="edith", defaults={"role": "editor"})[0]
