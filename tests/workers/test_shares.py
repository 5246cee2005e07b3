"""Jobs share the cores, and pages come first."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from webapp.jobs.models import Job
from workers import shares


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (4, 3), (16, 15)])
def test_a_training_gets_most_cores(cores: int, threads: int) -> None:
    assert shares.threads_for("gpu", cores, a_training_runs=False) == threads


@pytest.mark.parametrize(("cores", "alone", "beside"), [(1, 1, 1), (2, 2, 1), (8, 8, 4)])
def test_another_job_takes_half_beside_a_training(cores: int, alone: int, beside: int) -> None:
    assert shares.threads_for("cpu", cores, a_training_runs=False) == alone
    assert shares.threads_for("cpu", cores, a_training_runs=True) == beside


def test_a_training_on_another_machine_takes_nothing_here(claimed: Callable[[], Job]) -> None:
    job = claimed()
    Job.objects.filter(pk=job.pk).update(queue="gpu", worker="gpu-1@there")
    cores = shares.cores()
    assert shares.environment_of(job, "here")["MMFRM_THREADS"] == str(cores)
    assert shares.environment_of(job, "there")["MMFRM_THREADS"] == str(max(1, cores // 2))


def test_threads_given_by_the_administrator_win(
    claimed: Callable[[], Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMFRM_THREADS", "3")
    env = shares.environment_of(claimed(), "here")
    assert (env["MMFRM_THREADS"], env["OMP_NUM_THREADS"]) == ("3", "3")


def test_a_job_is_nicer_than_the_web_process() -> None:
    assert all(nice > os.getpriority(os.PRIO_PROCESS, 0) for nice in shares.NICENESS.values())
