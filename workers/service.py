"""One process that the supervisor keeps alive."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from workers.capped_log import CappedLog
from workers.child import ending

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds before a dead service is started again
SETTLED_AFTER = 30.0  # seconds; one that lived so long starts again at once


@dataclass(frozen=True)
class Recipe:
    """How a service is started."""

    name: str
    command: Sequence[str]
    stops_last: bool = False  # others need it while they end


class Service:
    """A process, started again whenever it dies. Its output goes to its own log, not through us."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        logs: Path,
        env: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recipe = recipe
        self.name = recipe.name
        self.deaths = 0  # in a row, without settling between
        self.log = CappedLog(logs / f"{recipe.name}.log")
        self._env = env
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_again_at = 0.0
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process else None

    def start(self) -> int:
        """Start the process; returns its id."""
        self._log_start = self.log.size()
        with self._output() as log:
            self._process = subprocess.Popen(
                self.recipe.command, env=dict(self._env), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C is for the supervisor, which passes it on in order
            )  # fmt: skip
        self._started_at = self._clock()
        return self._process.pid

    def _output(self) -> BinaryIO:
        """Where the process writes: its log, or nowhere if the disk is too full for even an empty file."""
        try:
            return self.log.open()
        except OSError:
            return Path(os.devnull).open("ab", buffering=0)

    def death(self) -> str | None:
        """How the process ended, in words, if it has since the last look; it is then due to start again."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        lived = self._clock() - self._started_at
        self.deaths = 1 if lived > SETTLED_AFTER else self.deaths + 1
        self._start_again_at = self._clock() + self.pause
        return ending(code)

    @property
    def pause(self) -> float:
        """Seconds to wait before the next start."""
        return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.deaths - 1)))

    def is_due(self) -> bool:
        """Whether it is dead and has waited long enough."""
        return self._process is None and self._clock() >= self._start_again_at

    def last_words(self) -> str:
        """The end of what the latest process wrote."""
        return self.log.tail(since=self._log_start)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the process, if there is one."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None
