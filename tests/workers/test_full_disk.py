"""On a full disk what is merely kept for people is left, and the work goes on."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.product import wait_until
from webapp.accounts.models import User
from webapp.jobs import services
from webapp.jobs.models import Job
from workers.capped_log import LIMIT
from workers.checks import Place
from workers.service import Recipe
from workers.supervisor import Supervisor

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Takes no copy and no note; says what was tried to be written."""
    tried: list[Path] = []

    def refuse_copy(source: Path, target: Path) -> None:
        tried.append(target)
        raise FULL

    def refuse_note(path: Path, text: str) -> int:
        tried.append(path)
        raise FULL

    monkeypatch.setattr(shutil, "copyfile", refuse_copy)
    monkeypatch.setattr(Path, "write_text", refuse_note)
    return tried


def test_a_job_whose_log_cannot_be_cut_keeps_its_heartbeat(
    claimed: Callable[[], Job],
    do: Callable[[Job, str], None],
    owner: User,
    leaving: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = threading.Event()

    def refuse(*_: Any) -> None:
        tried.set()
        raise FULL

    def beat() -> datetime:
        at = Job.objects.values_list("heartbeat_at", flat=True).get(pk=job.pk)
        assert at is not None
        return at

    monkeypatch.setattr(shutil, "copyfile", refuse)
    job = claimed()
    talk = f'say("started"); sys.stderr.write("x" * {LIMIT + 1}); sys.stderr.flush()'
    script = talk + '; sys.stdin.readline(); say("stopped", reason="asked"); sys.exit(3)'
    thread = threading.Thread(target=do, args=(job, script))
    thread.start()
    try:
        assert tried.wait(60)
        before = beat()
        wait_until(lambda: beat() > before, 60, "a heartbeat")
        services.pause(job, owner)
        wait_until(lambda: Job.objects.get(pk=job.pk).state == "paused", 60, "a paused job")
    finally:
        leaving.set()
        thread.join(60)


def test_the_supervisor_goes_on(
    tmp_path: Path, full_disk: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    talk = f"import sys, time; sys.stdout.write('x' * {LIMIT + 1}); sys.stdout.flush(); time.sleep(60)"
    supervisor = Supervisor(
        Place("127.0.0.1", 1, tmp_path), [Recipe("loud", [sys.executable, "-c", talk])], dict(os.environ)
    )
    (service,) = supervisor._services
    try:
        supervisor._start(service)
        wait_until(lambda: service.log.size() > LIMIT, 60, "a long log")
        supervisor._look_after()
        assert service.is_running()
        assert [path.name for path in full_disk] == ["pids.part", "loud.log.1"]
        assert "could not be noted: [Errno 28]" in capsys.readouterr().out
    finally:
        service.signal(signal.SIGKILL)
        wait_until(lambda: not service.is_running(), 60, "its end")
