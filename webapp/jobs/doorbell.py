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

log = logging.getLogger(__name__)
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
    layer = get_channel_layer()
    try:
        send = async_to_sync(layer.group_send)
        send(group_of(job.pk), {"type": "job.changed", "job": job.pk})
        send(EVERYBODY, {"type": "job.changed", "job": job.pk})
        if job.is_over:
            send(group_of_owner(job.owner_id), {"type": "job.changed", "job": job.pk})
    except Exception as error:
        log.warning("no browser was told of job %s: %s", job.pk, error)


def hint_lists() -> None:
    """Tell whoever looks at lists that something other than a job has changed."""
    try:
        async_to_sync(get_channel_layer().group_send)(EVERYBODY, {"type": "job.changed"})
    except Exception as error:
        log.warning("no list was told of a change: %s", error)


def group_of_owner(user_id: int) -> str:
    """The channel group of whoever waits for the ends of their own jobs."""
    return f"owner.{user_id}"


def group_of(job_id: int) -> str:
    """The channel group of one job."""
    return f"job.{job_id}"
