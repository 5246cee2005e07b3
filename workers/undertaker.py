"""Ends the processes of a supervisor that was killed, so that a new one can start.

A supervisor that ends properly ends its processes itself. One that is killed with SIGKILL cannot; but the
pipe to this small process then closes.
"""

from __future__ import annotations

import contextlib
import fcntl
import signal
import sys
from pathlib import Path

import psutil

PATIENCE = 8.0  # seconds between asking and killing; a worker uses them to let its job save


def attend(data_dir: str) -> int:
    """Read "watch PID" and "forget PID" lines; at the end of input end what is still watched."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the end of input counts
    with (Path(data_dir) / "run" / "remains.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until this process ends, nobody else starts
        watched: dict[int, psutil.Process] = {}
        for line in sys.stdin:
            word, _, pid = line.strip().partition(" ")
            if word == "watch":
                _watch(int(pid), watched)
            else:
                watched.pop(int(pid), None)
        bury(list(watched.values()), patience=PATIENCE)
    return 0


def _watch(pid: int, watched: dict[int, psutil.Process]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        watched[pid] = psutil.Process(pid)


def bury(processes: list[psutil.Process], *, patience: float) -> None:
    """Ask these processes to end; after `patience` seconds kill them and all that they started."""
    everybody = [*family(processes), *processes]
    for process in processes:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(everybody, timeout=patience)
    for process in [*family(alive), *alive]:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=1.0)


def family(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Everything these processes started, and what that started."""
    found: list[psutil.Process] = []
    for process in processes:
        try:
            found += process.children(recursive=True)
        except psutil.NoSuchProcess:
            continue
    return found


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # refuses a process id that was given to somebody else meanwhile
