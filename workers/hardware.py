"""What a job's processes and its machine do: cores, memory, and GPUs where NVIDIA's tool names some."""

from __future__ import annotations

import csv
import logging
import shutil
import subprocess
import threading
from typing import Any

import psutil
from django.conf import settings
from django.db import connections

from mmfrm.events import Hardware
from webapp.jobs import services
from webapp.jobs.models import Job
from workers.patience import AWAY

log = logging.getLogger(__name__)
MEBIBYTE = 2**20
GPU_QUERY = "name,utilization.gpu,memory.used,memory.total"


class Gauge:
    """Reads a process, what it started, and the machine. Shares are over the time since the last reading."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._cores = psutil.cpu_count() or 1
        self._family: dict[int, psutil.Process] = {}
        self._has_gpus = shutil.which("nvidia-smi") is not None
        self._look()
        psutil.cpu_percent()  # the first call only starts the clock

    def read(self) -> Hardware:
        """How it is now. Raises psutil.NoSuchProcess when the job's process is gone."""
        self._look()
        cpu, memory = 0.0, 0
        for process in self._family.values():
            try:
                cpu += process.cpu_percent()
                memory += process.memory_info().rss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue  # a helper process that has just ended
        if not memory:  # it has ended, and only its exit code is still there to be fetched
            raise psutil.NoSuchProcess(self._root.pid)
        return Hardware(
            cpu=round(min(1.0, cpu / 100 / self._cores), 4),
            machine_cpu=round(psutil.cpu_percent() / 100, 4),
            memory_bytes=memory,
            machine_memory=round(psutil.virtual_memory().percent / 100, 4),
            gpus=self._gpus(),
        )

    def _look(self) -> None:
        """Keep the processes that were there: their shares count from the last reading."""
        there = [self._root, *self._root.children(recursive=True)]
        new = [process for process in there if process.pid not in self._family]
        self._family = {p.pid: self._family.get(p.pid, p) for p in there}
        for process in new:
            try:
                process.cpu_percent()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue

    def _gpus(self) -> list[dict[str, Any]]:
        if not self._has_gpus:
            return []
        command = ["nvidia-smi", f"--query-gpu={GPU_QUERY}", "--format=csv,noheader,nounits"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            self._has_gpus = False  # a tool without a driver: asked once
            return []
        return gpus_of(told.stdout)


def gpus_of(text: str) -> list[dict[str, Any]]:
    """nvidia-smi's table as figures. What a card does not tell ("[N/A]") is None."""
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [
        {
            "name": name,
            "use": None if (share := _number(use)) is None else share / 100,
            "memory_bytes": None if (mebibytes := _number(used)) is None else int(mebibytes * MEBIBYTE),
            "memory_total": None if (whole := _number(total)) is None else int(whole * MEBIBYTE),
        }
        for name, use, used, total in (row for row in rows if len(row) == 4)
    ]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def watch(job: Job, pid: int, over: threading.Event) -> threading.Thread:
    """Record readings of a job's process every few seconds until it is over, beside everything else."""
    thread = threading.Thread(target=_watch, args=(job, pid, over), name=f"hardware {job.pk}", daemon=True)
    thread.start()
    return thread


def _watch(job: Job, pid: int, over: threading.Event) -> None:
    """A reading that cannot be taken or written is left out: nothing depends on it."""
    try:
        gauge = Gauge(pid)
        while not over.wait(settings.HARDWARE_SECONDS):
            try:
                services.record(job, gauge.read())
            except AWAY:
                connections.close_all()
    except psutil.Error:
        return  # the process is gone
    except Exception:
        log.exception("job %s: its hardware is no longer watched", job.pk)
    finally:
        connections.close_all()  # this thread's
