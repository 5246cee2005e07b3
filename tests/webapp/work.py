"""Doing queued jobs within a test, as a worker would, but in this very process."""

from __future__ import annotations

from mmfrm.control import Control
from mmfrm.events import Event
from mmfrm.run import execute
from webapp.jobs import services as jobs
from webapp.jobs.models import Job


def do_next(queue: str = "cpu") -> Job:
    """Take the next waiting job, do it, and write down all it says."""
    job = jobs.claim(queue, "the test")
    assert job is not None, f"nothing waits in {queue}"
    said: list[Event] = []

    def tell(event: Event) -> None:
        said.append(event)
        assert jobs.record(job, event)

    code = execute(jobs.prepare(job), tell, Control())
    jobs.end(job, last=said[-1], exit_status=str(code))
    job.refresh_from_db()
    return job
