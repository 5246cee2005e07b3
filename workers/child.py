"""A job's process: in a session of its own, heard on its standard output, asked on its standard input."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmfrm.events import Event, from_line
from workers.capped_log import CappedLog

MOST_WAITING = 10_000  # events held while the database is away; then the child waits too


class Child:
    """A running job process. It goes on without us only long enough to leave something resumable."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, env: Mapping[str, str], niceness: int = 0
    ) -> None:
        self.log = CappedLog(folder / "log.txt")
        self._log_start = self.log.size()
        with self.log.open() as log:
            self._process = subprocess.Popen(
                command, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True,  # a Ctrl-C at our terminal is for us to pass on
            )  # fmt: skip
        self.pid = self._process.pid
        self._is_gone = False  # with everything it started
        with contextlib.suppress(OSError):  # it may be gone already
            os.setpriority(os.PRIO_PROCESS, self.pid, niceness)
        self._said: queue.Queue[tuple[Event, bytes] | None] = queue.Queue(MOST_WAITING)
        threading.Thread(target=self._listen, name=f"child {self.pid}", daemon=True).start()

    def events(self) -> Iterator[tuple[Event, bytes]]:
        """What the child says, each with its line, until it says no more."""
        while (said := self._said.get()) is not None:
            yield said

    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def ask_to_stop(self) -> None:
        """Ask by command: leave something resumable and end."""
        self._command({"do": "stop"})

    def steer(self, orders: list[dict[str, Any]]) -> None:
        """Tell by command every order that holds at present."""
        self._command({"do": "steer", "orders": orders})

    def _command(self, command: dict[str, Any]) -> None:
        if (commands := self._process.stdin) is not None:
            with contextlib.suppress(OSError, ValueError):
                commands.write(json.dumps(command).encode() + b"\n")
                commands.flush()

    def terminate(self) -> None:
        """Ask by signal, for a child that does not read its commands."""
        if self.is_alive():
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and everything it started."""
        if self._is_gone:
            return  # the number may be somebody else's by now
        was_alive = self.is_alive()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS says the second of a group of zombies
            self._is_gone = not was_alive

    def wait(self) -> str:
        """Wait for the end; returns how it ended, for people."""
        code = self._process.wait()
        self.kill()  # what it may have left of its own children
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return ending(code)

    def last_words(self) -> str:
        """The end of what this process, not an earlier one, wrote to its log."""
        return self.log.tail(since=self._log_start)

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            try:
                event = from_line(line.decode())
            except ValueError:  # a library that prints
                self.log.write(line.decode(errors="replace"))
            else:
                self._said.put((event, line))
        self._said.put(None)


def ending(code: int) -> str:
    """A process's exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    want = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
    return f"killed by {name}{want}"
