"""A job's process: events, stops, locks, exit codes, and what it says when it cannot go on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmfrm import run
from mmfrm.control import Control
from mmfrm.events import Event, Failed, Finished, Notice, Progress, Started, Stopped, from_line
from mmfrm.failures import JobError, explain
from mmfrm.jobs import DrawJob, Job, write_job
from mmfrm.run import FAILED, FINISHED, STOPPED, execute
from mmfrm.schema import ConfigError

MANY = 200_000  # drawn faces: minutes of work, so that a stop comes in the middle


def start(folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    """A job process as a worker starts it: events on its stdout, commands on its stdin."""
    command = [sys.executable, "-m", "mmfrm", "run", str(folder), "--events", "json"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def drawing(folder: Path, count: int = MANY) -> Path:
    write_job(folder, DrawJob(out=str(folder / "faces"), count=count))
    return folder


def until(process: subprocess.Popen[bytes], kind: type[Event]) -> list[Event]:
    """Read events up to the first of a kind."""
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        events.append(from_line(line.decode()))
        if isinstance(events[-1], kind):
            return events
    raise AssertionError(f"the process ended without {kind.__name__}: {events}")


def written(folder: Path) -> list[Event]:
    return [from_line(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_job_tells_its_events_on_stdout_and_in_its_folder_and_exits_with_0(tmp_path: Path) -> None:
    process = start(drawing(tmp_path, 40))
    told = until(process, Finished)
    assert process.wait(120) == FINISHED
    assert isinstance(told[0], Started)
    assert told == written(tmp_path)
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["versions"]["python"].startswith("3.")
    assert provenance["versions"]["torch"]


@pytest.mark.parametrize("way", ["command", "end of stdin", "SIGTERM", "SIGINT"])
def test_a_stop_leaves_something_resumable_and_exits_with_3(tmp_path: Path, way: str) -> None:
    process = start(drawing(tmp_path))
    until(process, Progress)
    assert process.stdin is not None
    if way == "command":
        process.stdin.write(b'not json\n{"do":"unknown"}\n{"do":"stop"}\n')
        process.stdin.flush()
    elif way == "end of stdin":
        process.stdin.close()
    else:
        process.send_signal(signal.Signals[way])
    until(process, Stopped)
    assert process.wait(120) == STOPPED
    again = start(tmp_path)
    assert until(again, Started)[-1].payload()["resumed"]
    again.kill()
    again.wait()


def test_a_second_interrupt_ends_the_process_at_once(tmp_path: Path) -> None:
    program = (
        "import time; from mmfrm.control import Control; c = Control(); c.listen_to_signals(); "
        "print('ready', flush=True)\nwhile not c.stop_requested(): time.sleep(0.05)\n"
        "print('asked', flush=True)\nwhile True: time.sleep(0.05)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"asked\n"  # two that come before either is handled are one
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 128 + signal.SIGINT


def test_a_reader_that_goes_away_is_survived_by_a_checkpoint(tmp_path: Path) -> None:
    process = start(drawing(tmp_path), stderr=subprocess.PIPE)
    until(process, Progress)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(120) == STOPPED
    assert isinstance(written(tmp_path)[-1], Stopped)
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()


def test_two_processes_never_work_in_one_folder(tmp_path: Path) -> None:
    drawing(tmp_path, 40)
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start(tmp_path, env={**os.environ, "MMFRM_LOCK_SECONDS": "0.3"})
        failed = until(process, Failed)[-1]
        assert process.wait(120) == FAILED
        assert "Another process is at work" in failed.payload()["message"]
        assert not (tmp_path / "events.jsonl").exists()


def test_a_predecessor_that_is_just_ending_is_waited_for(tmp_path: Path) -> None:
    drawing(tmp_path, 40)
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start(tmp_path)
        time.sleep(1.5)
        assert process.poll() is None
    assert process.wait(120) == FINISHED


def test_a_line_torn_by_a_kill_does_not_swallow_the_next(tmp_path: Path) -> None:
    drawing(tmp_path, 40)
    (tmp_path / "events.jsonl").write_text('{"kind":"notice","te')
    assert execute(tmp_path, lambda event: None, Control()) == FINISHED
    torn, *lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert torn == '{"kind":"notice","te'
    assert isinstance(from_line(lines[0]), Started)


def _crashing(folder: Path, job: Job, control: Control) -> Iterator[Event]:
    yield Notice(text="so far so good")
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")


def test_a_crash_becomes_one_failed_event_with_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing(tmp_path)
    monkeypatch.setitem(run.WORK, "draw", f"{__name__}:_crashing")
    told: list[Event] = []
    assert execute(tmp_path, told.append, Control()) == FAILED
    notice, failed = told
    assert isinstance(notice, Notice)
    assert isinstance(failed, Failed)
    assert "smaller batch" in failed.message
    assert "in _crashing" in failed.detail
    assert failed.resumable


@pytest.mark.parametrize(
    ("error", "words", "resumable"),
    [
        (MemoryError(), "smaller batch size", True),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "smaller batch size", True),
        (OSError(errno.ENOSPC, "No space left on device"), "Free some space", True),
        (FileNotFoundError(2, "No such file", "faces-0.pack"), "faces-0.pack is not there", True),
        (PermissionError(13, "Permission denied", "/data/faces"), "/data/faces may not be read", True),
        (OSError(errno.EIO, "Input/output error"), "Input/output error", True),
        (ConfigError("optim.epochs", "0 is too few"), "optim.epochs: 0 is too few", False),
        (JobError("Put it back.", resumable=True), "Put it back.", True),
        (ModuleNotFoundError("No module named 'onnx'", name="onnx"), "The package onnx is missing", True),
        (RuntimeError("CUDA error: unspecified launch failure\nmore"), "The GPU reported an error", True),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero", False),
    ],
)
def test_a_failure_names_its_remedy(error: Exception, words: str, resumable: bool) -> None:
    failed = explain(error)
    assert words in failed.message
    assert failed.resumable is resumable


def test_a_job_folder_that_cannot_be_read_fails_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"format": 1, "kind": "draw", "out": "x", "count": "many"}')
    told: list[Event] = []
    assert execute(tmp_path, told.append, Control()) == FAILED
    assert "count: must be int" in told[-1].payload()["message"]


@pytest.mark.parametrize("kind", ["import", "draw"])
def test_jobs_that_need_no_network_start_without_torch(kind: str) -> None:
    module = run.WORK[kind].partition(":")[0]
    program = f"import sys, mmfrm.command_line, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_only_rank_0_of_several_processes_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing(tmp_path, 40)
    monkeypatch.setenv("RANK", "1")
    told: list[Event] = []
    assert execute(tmp_path, told.append, Control()) == FINISHED
    assert told == []
    assert not (tmp_path / "events.jsonl").exists()
