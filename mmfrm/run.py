"""A job's process: one folder, one generator of events, one exit code.

`python -m mmfrm run FOLDER --events json` reads FOLDER/job.json, does the job, writes an event a line on
standard output and into FOLDER/events.jsonl, and obeys JSON commands on standard input: {"do": "stop"}, and
for trainings {"do": "steer", "orders": [...]} with every order that holds at present (mmfrm.steering).
The end of standard input means that the parent died: the job leaves something resumable and ends. Without
--events json nobody commands: there a training looks into its job.json for orders when an epoch has ended.

No torch here: each kind of job is imported when it runs.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mmfrm.control import Control
from mmfrm.events import Event, Failed, Finished, Started, Stopped, to_line
from mmfrm.failures import JobError, explain
from mmfrm.jobs import JOBS, Job, read_job
from mmfrm.versions import versions

FINISHED, FAILED, WRONG_USAGE, STOPPED = 0, 1, 2, 3  # exit codes; 3 can be resumed

# Kind of job -> module and function: (folder, job, control) -> Iterator[Event]. Imported when run, so
# that an import child, which needs no torch, starts fast and stays small.
WORK = {
    "train": "mmfrm.train:train",
    "estimate": "mmfrm.estimate:estimate",
    "evaluate": "mmfrm.evaluate:evaluate",
    "compare": "mmfrm.compare:compare",
    "predict": "mmfrm.predict:predict",
    "export": "mmfrm.export:export",
    "landmarks": "mmfrm.landmarks:train_landmarks",
    "bench": "mmfrm.bench:bench",
    "import": "mmfrm.data.ingest:ingest",
    "preview": "mmfrm.data.preview:preview",
    "draw": "mmfrm.data.drawn:draw",
    "revise": "mmfrm.data.revise:revise",
}

LOCK_PATIENCE = 30.0  # seconds to wait for a predecessor that is just ending


def execute(folder: Path, tell: Callable[[Event], None], control: Control) -> int:
    """Do the folder's job, telling every event; returns the exit code.

    `tell` may raise BrokenPipeError: nobody listens any more, so the job is asked to stop and goes on
    writing to events.jsonl until it has.
    """
    if not _speaks():
        return _last_event_code(_events_of(folder, control))
    try:
        with _locked(folder), _log_of(folder) as log:
            return _relay(folder, log, tell, control)
    except (JobError, OSError) as error:
        tell(explain(error))
        return FAILED


def _relay(folder: Path, log: IO[bytes], tell: Callable[[Event], None], control: Control) -> int:
    def relayed() -> Iterator[Event]:
        heard = True
        for event in _events_of(folder, control):
            _record(log, event)
            if heard:
                heard = _told(event, tell, control)
            yield event

    return _last_event_code(relayed())


def _told(event: Event, tell: Callable[[Event], None], control: Control) -> bool:
    try:
        tell(event)
    except BrokenPipeError:
        control.request_stop("nobody reads the events any more")
        return False
    return True


def _events_of(folder: Path, control: Control) -> Iterator[Event]:
    """The job's events; whatever goes wrong becomes one last Failed event."""
    try:
        job = read_job(folder)
        for event in work_of(job)(folder, job, control):
            if isinstance(event, Started) and _speaks():
                _write_provenance(folder, event.facts)
            yield event
    except Exception as error:
        yield explain(error)


def work_of(job: Job) -> Callable[[Path, Any, Control], Iterator[Event]]:
    """The function that does a job."""
    kind = next(k for k, c in JOBS.items() if type(job) is c)
    module, _, name = WORK[kind].partition(":")
    function: Callable[[Path, Any, Control], Iterator[Event]] = getattr(importlib.import_module(module), name)
    return function


def _last_event_code(events: Iterator[Event]) -> int:
    code = FAILED
    for event in events:
        if isinstance(event, Finished):
            code = FINISHED
        elif isinstance(event, Stopped):
            code = STOPPED
        elif isinstance(event, Failed):
            code = FAILED
    return code


def _speaks() -> bool:
    """Whether this process is the one of a `torchrun` group that writes and is heard."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone, waiting a little for a predecessor that is ending."""
    with (folder / ".lock").open("w") as lock:
        patience = float(os.environ.get("MMFRM_LOCK_SECONDS", LOCK_PATIENCE))
        give_up_at = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= give_up_at:
                    text = f"Another process is at work in {folder}. Wait for it to end, or stop it."
                    raise JobError(text) from error
            time.sleep(0.1)
        yield  # the lock goes with the file, also when the process is killed


@contextmanager
def _log_of(folder: Path) -> Iterator[IO[bytes]]:
    """The folder's events.jsonl, to add to."""
    log = (folder / "events.jsonl").open("ab")
    try:
        _end_torn_line(log)
        yield log
    finally:
        with _a_full_disk_is_survived():
            log.close()  # which writes what could not be written before


def _end_torn_line(log: IO[bytes]) -> None:
    """A predecessor may have been killed in the middle of a line; begin on a fresh one."""
    with Path(log.name).open("rb") as written:
        if written.seek(0, os.SEEK_END):
            written.seek(-1, os.SEEK_END)
            if written.read(1) != b"\n":
                log.write(b"\n")


def _record(log: IO[bytes], event: Event) -> None:
    with _a_full_disk_is_survived():
        log.write(to_line(event).encode() + b"\n")
        log.flush()


@contextmanager
def _a_full_disk_is_survived() -> Iterator[None]:
    """By the events' log: it must not silence the job, which will say so when it cannot save."""
    try:
        yield
    except OSError as error:
        print(f"events.jsonl: {error}", file=sys.stderr)


def _write_provenance(folder: Path, facts: dict[str, Any]) -> None:
    """Which program on which machine, and which data, made what is in this folder."""
    part = folder / "provenance.json.part"
    part.write_text(json.dumps({"versions": versions(), **facts}, indent=2, default=str) + "\n")
    part.replace(folder / "provenance.json")


def json_teller(stream: IO[str]) -> Callable[[Event], None]:
    """Tell events as JSON lines, each flushed at once."""

    def tell(event: Event) -> None:
        try:
            stream.write(to_line(event) + "\n")
            stream.flush()
        except BrokenPipeError:
            # Without this the interpreter complains about the same pipe again when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            raise

    return tell


def run_folder(folder: Path, *, events: str) -> int:
    """What `python -m mmfrm run` does: `events` is json (for machines) or bar (for people)."""
    control = Control()
    control.listen_to_signals()
    if events == "json":
        if _speaks():
            control.listen_to_commands()
        return execute(folder, json_teller(sys.stdout), control)
    control.look_into(folder / "job.json")  # nobody else tells a training new orders
    from mmfrm.terminal import Screen

    with Screen(sys.stderr) as screen:
        return execute(folder, screen.tell, control)
