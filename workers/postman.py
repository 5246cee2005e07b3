"""Delivers webhooks, in a thread of the reaper's process: both kinds of worker may be busy for hours."""

from __future__ import annotations

import logging
import threading

from django.db import connections

from webapp.news import services
from workers.patience import AWAY

log = logging.getLogger(__name__)
EVERY = 1.0  # seconds


def start(leaving: threading.Event) -> threading.Thread:
    """Deliver what is due, again and again, until told to leave."""
    thread = threading.Thread(target=run, args=(leaving,), name="postman", daemon=True)
    thread.start()
    return thread


def run(leaving: threading.Event) -> None:
    """The thread itself. Whatever a receiver does, the next delivery comes."""
    while not leaving.wait(EVERY):
        try:
            services.deliver_due()
        except AWAY:
            connections.close_all()
        except Exception:
            log.exception("the postman stumbled, and goes on")
    connections.close_all()
