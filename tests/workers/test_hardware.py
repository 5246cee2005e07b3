"""What a training's machine does is read by its worker, and never stands in the way of anything."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pytest_django import Settings

from tests.product import wait_until
from webapp.jobs import services
from webapp.jobs.models import Job, JobEvent
from workers import hardware

BUSY = "while True: sum(range(10_000))"
Claimed = Callable[[], Job]
Do = Callable[[Job, str], None]


@pytest.fixture
def busy() -> Iterator[int]:
    """A process that only starts another one, which takes all it gets of a core."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    wait_until(lambda: len(psutil.Process(process.pid).children()) == 1, 60)
    yield process.pid
    os.killpg(process.pid, 9)
    process.wait()


def test_what_a_process_started_counts_as_its_own(busy: int) -> None:
    gauge, alone = hardware.Gauge(busy), psutil.Process(busy)
    (child,) = alone.children()
    before, began, had = alone.cpu_times(), time.monotonic(), child.cpu_times().user
    wait_until(lambda: child.cpu_times().user >= had + 0.5, 60, "half a second of work")
    reading, own, took = gauge.read(), alone.cpu_times(), time.monotonic() - began
    # Rounded: the parts are hundredths of a second as floats, and a sum of equal ones may differ by 1e-18.
    spent = round(own.user + own.system - before.user - before.system, 6)
    # The process itself only waits; however little a busy machine leaves to its child, it is more.
    assert 0 <= spent / took < reading.cpu * (psutil.cpu_count() or 1)
    assert reading.cpu <= 1
    assert reading.memory_bytes > alone.memory_info().rss > 0
    assert 0 < reading.machine_memory < 1


def test_a_gpu_is_read_from_nvidias_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: int
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 87, 10240, 81559'\necho 'Old, [N/A], 5, 100'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    first, second = hardware.Gauge(busy).read().gpus
    assert first == {
        "name": "NVIDIA H100 80GB HBM3",
        "use": 0.87,
        "memory_bytes": 10240 * 2**20,
        "memory_total": 81559 * 2**20,
    }
    assert second["use"] is None
    tool.write_text("#!/bin/sh\nexit 9\n")  # the tool without its driver
    assert hardware.Gauge(busy).read().gpus == []


def test_a_training_is_watched_and_other_jobs_are_not(claimed: Claimed, do: Do, settings: Settings) -> None:
    settings.HARDWARE_SECONDS = 0.2
    training, other = claimed(), claimed()
    training.queue = Job.Queue.GPU
    readings = JobEvent.objects.filter(kind="hardware")
    do(other, 'say("started"); time.sleep(2); say("finished")')
    enough = services.folder_of(training) / "enough"
    script = f'say("started")\nwhile not os.path.exists({str(enough)!r}): time.sleep(0.05)\nsay("finished")'
    thread = threading.Thread(target=do, args=(training, script))
    thread.start()
    try:
        wait_until(readings.exists, 60, "a reading")
    finally:
        enough.touch()
        thread.join(60)
    assert set(readings.values_list("job_id", flat=True)) == {training.pk}
    assert all(row.payload["memory_bytes"] > 0 for row in readings)
    assert Job.objects.get(pk=training.pk).state == "finished"


def test_a_process_that_has_ended_is_not_read_as_one_without_memory() -> None:
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gauge = hardware.Gauge(ended.pid)
    assert gauge.read().memory_bytes > 0
    ended.kill()
    wait_until(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE, 60)
    with pytest.raises(psutil.NoSuchProcess):
        gauge.read()
    ended.communicate()


def test_a_process_that_is_gone_ends_its_watch(claimed: Claimed) -> None:
    job = claimed()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    hardware.watch(job, ended.pid, threading.Event()).join(5)
    assert services.heartbeat(job) == "starting"
