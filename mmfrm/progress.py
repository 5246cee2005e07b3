"""Rates and remaining times for people, from counts. No torch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from mmfrm.events import Progress


class Meter:
    """Counts units of work and says, at most twice a second, how fast they come and how long it will take.

    The rate is over the last `window` seconds, so that it follows a machine that becomes busy.
    """

    def __init__(
        self,
        total: int,
        *,
        unit: str = "images",
        phase: str = "",
        done: int = 0,
        every: float = 0.5,
        window: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = done  # of an earlier attempt: it does not count for the rate
        self.total = total
        self.unit = unit
        self.phase = phase
        self._every = every
        self._window = window
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque([(clock(), done)])
        self._said_at = clock()

    def add(self, units: int) -> None:
        """Count finished units."""
        self.done += units
        now = self._clock()
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[0][0] > self._window:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """Units a second over the last seconds; 0.0 before any came."""
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        return (last - first) / (end - start) if end > start else 0.0

    def is_due(self) -> bool:
        """Whether it is time to say something again."""
        return self._clock() - self._said_at >= self._every

    def say(self, more: int = 0, seconds_after: float = 0.0) -> Progress:
        """The state as an event.

        `more` units come after `total` (later epochs), and `seconds_after` of other work: they count for
        the time.
        """
        self._said_at = self._clock()
        rate = self.rate
        left = max(self.total - self.done, 0) + more
        return Progress(
            done=self.done,
            total=self.total,
            unit=self.unit,
            phase=self.phase,
            rate=rate,
            seconds_left=left / rate + seconds_after if rate > 0 else None,
        )
