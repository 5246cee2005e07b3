"""Jobs put into a state, and what is told of their states."""

from __future__ import annotations

from django.utils import timezone

from webapp.experiments.models import Run
from webapp.jobs.models import Job, JobEvent


def in_state(run: Run, state: str) -> Job:
    """The run's job, put into a state as if a worker had it at attempt 1."""
    active = state in Job.ACTIVE
    Job.objects.filter(pk=run.job_id).update(
        state=state, attempt=1, worker="gpu-1", heartbeat_at=timezone.now() if active else None
    )
    return Job.objects.get(pk=run.job_id)


def state_of(job: Job) -> str:
    return Job.objects.values_list("state", flat=True).get(pk=job.pk)


def states_told(job: Job) -> list[str]:
    rows = JobEvent.objects.filter(job=job, kind="state").order_by("seq")
    return [row.payload["state"] for row in rows]
