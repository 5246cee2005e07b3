"""What a job said while nobody wrote it down.

A child appends every event to events.jsonl before it says it. A worker that is killed has not recorded
the last few, and its child says a few more while it ends. So each worker remembers how far it came, and
the next one first records what is between. An event recorded twice replaces itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mmfrm.events import Event, Failed, Finished, Progress, Started, Stopped, from_line

OF_THE_MOMENT = (Started, Progress, Stopped, Failed, Finished)  # say nothing once their process is gone


class Backlog:
    """How much of a job folder's events.jsonl is recorded, in bytes."""

    def __init__(self, folder: Path) -> None:
        self._events = folder / "events.jsonl"
        self._mark = folder / "recorded"
        self._position: int | None = None  # unknown until the child has spoken

    def before(self, line: bytes) -> Iterator[Event]:
        """Events that were said but not recorded before `line`, the first one of a new child."""
        position = self._recorded()
        try:
            with self._events.open("rb") as file:
                file.seek(position)
                written = file.read()
        except FileNotFoundError:
            return
        # The newest of equal lines is ours: nobody else writes while the child holds the folder.
        start = written.rfind(line)
        if start < 0:  # said but not written: the folder was held by another process
            return
        for earlier in written[:start].splitlines():
            event = _event_of(earlier)
            if event is not None and not isinstance(event, OF_THE_MOMENT):
                yield event
        self._position = position + start

    def recorded(self, line: bytes) -> None:
        """The next line of the child is in the database."""
        if self._position is not None:
            self._position += len(line)
            with contextlib.suppress(OSError):  # a full disk: then a little is recorded twice
                self._mark.write_text(str(self._position))

    def _recorded(self) -> int:
        try:
            return int(self._mark.read_text())
        except (OSError, ValueError):
            return 0  # then everything is recorded once more


def _event_of(line: bytes) -> Event | None:
    try:
        return from_line(line.decode(errors="replace"))
    except ValueError:  # torn by a kill
        return None
