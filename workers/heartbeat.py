"""Signs of life of a job that has no child yet."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connections

from webapp.jobs import services
from webapp.jobs.models import Job

log = logging.getLogger(__name__)


@contextmanager
def beating(job: Job) -> Iterator[None]:
    """Say from a thread that the job lives: to write its faces may take longer than silence is borne."""
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(job, over), name=f"beat {job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(job: Job, over: threading.Event) -> None:
    try:
        while not over.wait(settings.JOB_HEARTBEAT_SECONDS):
            try:
                services.heartbeat(job)
            except Exception as error:  # whatever it is, the next beat must come
                log.warning("job %s: no heartbeat (%s)", job.pk, str(error).strip())
                connections.close_all()
    finally:
        connections.close_all()  # this thread's
