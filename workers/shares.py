"""How jobs share the machine, so that pages stay quick while it trains and labels."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

from webapp.jobs.models import Job

# Pages are served at 0. What people wait for on a page (an import, labels) goes before a training.
NICENESS = {Job.Queue.GPU.value: 10, Job.Queue.CPU.value: 5}


def environment_of(job: Job, host: str) -> dict[str, str]:
    """The environment of a job's process, with its share of the cores."""
    given = os.environ.get("MMFRM_THREADS")
    threads = given or str(threads_for(job.queue, cores(), a_training_runs=_a_training_runs(host)))
    names = ("MMFRM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    # Waiting threads sleep: two that spin for each other on a core that pages also want cost minutes.
    always = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
    return os.environ | dict.fromkeys(names, threads) | always


def threads_for(queue: str, cores: int, *, a_training_runs: bool) -> int:
    """A training has the machine for hours: all cores, less one for pages where there are more than two.

    Other jobs are short: all cores alone, half of them beside a training.
    """
    if queue == Job.Queue.GPU:
        return max(1, cores - 1 if cores > 2 else cores)
    return max(1, cores // 2 if a_training_runs else cores)


def cores() -> int:
    """Cores this process may use: by affinity, and by the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, math.ceil(int(quota) / int(period)))
    return max(1, count)


def _a_training_runs(host: str) -> bool:
    running = Job.objects.filter(queue=Job.Queue.GPU, state__in=Job.ACTIVE)
    return running.filter(worker__endswith=f"@{host}").exists()
