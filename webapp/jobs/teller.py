"""Sends hints from a thread, for processes that write many rows and run no event loop: the workers.

Without it each hint starts an event loop in a thread of its own, which took three quarters of the time of
recording an event (tests/benchmarks/bench_live.py).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from channels.layers import get_channel_layer

log = logging.getLogger(__name__)


class Teller:
    """One thread with one connection. Hints to a group that wait to be sent become one: they say the same."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._has_news = threading.Event()
        threading.Thread(target=self._serve, name="hints", daemon=True).start()

    def tell(self, group: str, message: dict[str, Any]) -> None:
        """Send soon. Returns at once, also while the channel layer is away."""
        with self._lock:
            self._waiting[group] = message
        self._has_news.set()

    def _serve(self) -> None:
        loop = asyncio.new_event_loop()  # kept, and with it the connection
        layer = get_channel_layer()
        while True:
            self._has_news.wait()
            self._has_news.clear()
            with self._lock:
                taken, self._waiting = self._waiting, {}
            for group, message in taken.items():
                try:
                    loop.run_until_complete(layer.group_send(group, message))
                except Exception as error:
                    log.warning("nobody in %s was told: %s", group, error)
