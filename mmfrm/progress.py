"""Rates and remaining times for people, from counts. No torch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from mmfrm.events import Progress

PATIENT = 120.0  # seconds


class Meter:
    """Counts units of work and says, at most twice a second, how fast they come and how long it will take.

    The rate is over the last `window` seconds, so that it follows a machine that becomes busy; the time
    left is by the last `PATIENT` seconds, so that a moment's stall does not make hours of minutes.
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
        self._patient_marks = self._marks.copy()
        self._said_at = clock()

    def add(self, units: int) -> None:
        """Count finished units."""
        self.done += units
        now = self._clock()
        for marks, window in ((self._marks, self._window), (self._patient_marks, PATIENT)):
            marks.append((now, self.done))
            while len(marks) > 2 and now - marks[0][0] > window:
                marks.popleft()

    @property
    def rate(self) -> float:
        """Units a second over the last seconds; 0.0 before any came."""
        return _rate(self._marks)

    def is_due(self) -> bool:
        """Whether it is time to say something again."""
        return self._clock() - self._said_at >= self._every

    def say(self, more: int = 0, seconds_after: float = 0.0) -> Progress:
        """The state as an event.

        `more` units come after `total` (later epochs), and `seconds_after` of other work: they count for
        the time.
        """
        self._said_at = self._clock()
        patient = _rate(self._patient_marks)
        left = max(self.total - self.done, 0) + more
        return Progress(
            done=self.done,
            total=self.total,
            unit=self.unit,
            phase=self.phase,
            rate=self.rate,
            seconds_left=left / patient + seconds_after if patient > 0 else None,
        )


def _rate(marks: deque[tuple[float, int]]) -> float:
    (start, first), (end, last) = marks[0], marks[-1]
    return (last - first) / (end - start) if end > start else 0.0
