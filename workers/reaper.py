"""Puts back jobs whose worker died, rings for what waits, takes searches further, clears what nobody owns."""

from __future__ import annotations

import logging
import threading
import time

from django.conf import settings
from django.db import connections

from webapp import orphans
from webapp.datasets import erasing
from webapp.jobs import services
from webapp.news import services as news
from webapp.searches import sweeping as searches
from webapp.uploads import services as uploads
from workers.patience import AWAY

log = logging.getLogger(__name__)
EVERY = 3.0  # seconds, at most
SWEEP_EVERY = 3600.0


class Reaper:
    """Looks at the rows every few seconds.

    After a time in which it could not look (the database was away, the machine slept) workers could not
    say that they live either: they get time to do so before anything is taken from them.
    """

    def __init__(self) -> None:
        self._looked_at: float | None = None
        self._patient_until = 0.0
        self._swept_at = -SWEEP_EVERY

    def look(self, now: float) -> None:
        """One round at wall-clock time `now`, in seconds."""
        if self._looked_at is not None and now - self._looked_at > settings.JOB_LOST_SECONDS / 2:
            self._patient_until = now + settings.JOB_LOST_SECONDS
        if now >= self._patient_until:
            services.reap()
        searches.sweep()
        self._looked_at = now
        if now - self._swept_at >= SWEEP_EVERY:
            self._swept_at = now
            uploads.sweep()
            erasing.erase_what_waits()
            orphans.sweep()
            news.sweep()


def run(leaving: threading.Event) -> None:
    """Look until told to leave."""
    reaper = Reaper()
    # Often enough that two looks are never so far apart that the reaper thinks it was away itself.
    every = min(EVERY, settings.JOB_LOST_SECONDS / 4)
    while not leaving.wait(every):
        try:
            reaper.look(time.time())
        except AWAY as error:
            log.warning("the database is away (%s)", str(error).strip())
            connections.close_all()
        except Exception:
            log.exception("the reaper stumbled, and goes on")
