"""Log files that never fill the disk."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

LIMIT = 4 * 2**20  # bytes; as much again is kept of what came before
PAUSE = 60.0  # seconds between tries to cut, where that fails


class CappedLog:
    """A file that processes append to by themselves.

    They hold it open for appending, not a pipe to us: so they can go on writing when we are gone. When it
    is too long it is copied to NAME.1 and cut to nothing; whoever appends goes on at the new end.
    """

    def __init__(self, path: Path, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._limit = limit
        self._clock = clock
        self._cut_again_at = clock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def open(self) -> BinaryIO:
        """The file, opened for appending; to be given to a process."""
        return self.path.open("ab", buffering=0)

    def write(self, text: str) -> None:
        """Append a line, or several. A full disk keeps nobody from working."""
        with contextlib.suppress(OSError), self.open() as file:
            file.write(text.rstrip("\n").encode(errors="replace") + b"\n")

    def cut_if_long(self) -> None:
        """Keep the file within its limit. Called now and then by whoever looks after its writers.

        They have more to do: a full disk leaves the file long and does not stop them.
        """
        if self._clock() < self._cut_again_at:
            return
        try:
            if self.path.exists() and self.path.stat().st_size > self._limit:
                self._cut()
        except OSError as error:
            self._cut_again_at = self._clock() + PAUSE  # callers look often, and a copy is long
            log.warning("%s stays long: %s", self.path, error)

    def _cut(self) -> None:
        before = self.path.with_name(self.path.name + ".1")
        try:
            shutil.copyfile(self.path, before)
        except OSError:
            before.unlink(missing_ok=True)  # half a copy of what is still here only takes room
            raise
        with self.path.open("r+b") as file:
            file.truncate(0)

    def tail(self, lines: int = 12, since: int = 0) -> str:
        """The last lines that were written after byte `since`."""
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, 2)
                # A log that was cut meanwhile is shorter than `since`: then all of it is new.
                file.seek(max(since if since <= end else 0, end - 16_384))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path.exists() else 0
