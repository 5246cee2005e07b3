"""Telling others that a row has changed.

Both ways may fail silently: rows are the truth, and the reaper rings again.
"""

from __future__ import annotations

import logging
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from webapp.celery import app
from webapp.jobs.models import Job
from webapp.jobs.teller import Teller

log = logging.getLogger(__name__)
_teller: Teller | None = None
EVERYBODY = "jobs"  # the group that hears of every job's changes of state


def ring(queue: str) -> None:
    """Tell the workers of a queue that something waits, unless they are still to hear the last ring."""
    try:
        with app.connection_or_acquire() as connection:
            declared: Any = app.amqp.queues[queue](connection.default_channel).queue_declare()
            if not declared.message_count:  # else a long training would find thousands of rings when it ends
                app.send_task("work", args=[queue], queue=queue, retry=False, connection=connection)
    except Exception as error:
        log.warning("no worker was told of the queue %s: %s", queue, error)


def hint(job: Job) -> None:
    """Tell the browsers that watch a job that there is something new. Carries no content."""
    message = {"type": "job.changed", "job": job.pk}
    _send(group_of(job.pk), message)
    _send(EVERYBODY, message)
    if job.is_over:
        _send(group_of_owner(job.owner_id), message)


def hint_lists() -> None:
    """Tell whoever looks at lists that something other than a job has changed."""
    _send(EVERYBODY, {"type": "job.changed"})


def hint_from_a_thread() -> None:
    """From now on let a thread send this process's hints: for workers, which write many rows."""
    global _teller  # noqa: PLW0603 - one for the process, as the channel layer is
    _teller = _teller or Teller()


def _send(group: str, message: dict[str, Any]) -> None:
    if _teller is not None:
        _teller.tell(group, message)
        return
    try:
        async_to_sync(get_channel_layer().group_send)(group, message)
    except Exception as error:
        log.warning("no browser in %s was told: %s", group, error)


def group_of_owner(user_id: int) -> str:
    """The channel group of whoever waits for the ends of their own jobs."""
    return f"owner.{user_id}"


def group_of(job_id: int) -> str:
    """The channel group of one job."""
    return f"job.{job_id}"
