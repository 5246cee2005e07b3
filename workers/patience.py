"""Writing to a database that is locked, restarting or away for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

log = logging.getLogger(__name__)
T = TypeVar("T")
AWAY = (OperationalError, InterfaceError)
LONGEST_PAUSE = 5.0  # seconds


class GaveUpError(Exception):
    """The database did not come back while anybody was willing to wait."""


def insist(action: Callable[[], T], *, give_up: Callable[[], bool] = lambda: False) -> T:
    """Do something in the database, again and again while it is away. Raises GaveUpError if told to give up.

    `action` must be safe to repeat: it is one transaction, or idempotent.
    """
    pause = 0.1
    while True:
        try:
            return action()
        except AWAY as error:
            log.warning("the database is away (%s); trying again", str(error).strip())
            if give_up():
                raise GaveUpError from error
            if not connection.in_atomic_block:
                connection.close()  # the next action opens a fresh one
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
