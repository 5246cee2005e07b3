"""Who else is to know that a job has ended. Apps add themselves when they are ready."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db import transaction

if TYPE_CHECKING:
    from webapp.jobs.models import Job

log = logging.getLogger(__name__)
_listeners: list[Callable[[Job], None]] = []


def listen(listener: Callable[[Job], None]) -> None:
    """Call `listener` with every job that finishes, fails or stops, in the transaction that ends it."""
    _listeners.append(listener)


def tell(job: Job) -> None:
    """A job has ended. A listener that stumbles is logged: the end counts all the same."""
    for listener in _listeners:
        try:
            with transaction.atomic():
                listener(job)
        except Exception:
            log.exception("the end of job %s was not passed on", job.pk)
