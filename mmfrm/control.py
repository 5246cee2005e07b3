"""How a running job is asked to stop, or told new orders. No torch."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from mmfrm.schema import ConfigError
from mmfrm.steering import Order, read_orders

NOT_FOR_US = (ValueError, KeyError, TypeError, AttributeError, ConfigError)  # of what is no command or order


class Control:
    """A wish to stop, made by a signal, a command on standard input, or the death of the parent.

    A job polls `stop_requested()` between steps, leaves something resumable behind, and ends. A training
    also looks at `orders`: all that hold at present, or None where none were told since the start. They are
    told on standard input or, where nobody is there to do so, stand in the job's file.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.orders: tuple[Order, ...] | None = None
        self._stop = threading.Event()
        self._job_file: Path | None = None

    def stop_requested(self) -> bool:
        """Whether the job should leave something resumable behind and end."""
        return self._stop.is_set()

    def request_stop(self, reason: str) -> None:
        """Ask the job to end. The first reason is kept."""
        if not self._stop.is_set():
            self.reason = reason
            self._stop.set()

    def listen_to_signals(self) -> None:
        """SIGTERM and SIGINT ask to stop; a second SIGINT ends the process at once."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def listen_to_commands(self, descriptor: int = 0) -> None:
        """Read JSON commands, one a line, from standard input; its end means that the parent is gone."""
        threading.Thread(target=self._read_commands, args=(descriptor,), daemon=True).start()

    def look_into(self, job_file: Path) -> None:
        """Take orders from this file, which others may write anew, whenever `look` is called."""
        self._job_file = job_file

    def look(self) -> None:
        """Take the orders that hold now, where there is a file to look into."""
        if self._job_file is not None:
            with suppress(OSError, *NOT_FOR_US):  # gone or spoilt: the orders stay as they are
                self.orders = read_orders(json.loads(self._job_file.read_text())["steering"])

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.stop_requested():
            os._exit(128 + signal.SIGINT)  # checkpoints are replaced whole, so nothing can be torn
        self.request_stop(f"{signal.Signals(number).name} was received")

    def _read_commands(self, descriptor: int) -> None:
        # os.read, not sys.stdin: a daemon thread blocked inside a buffered reader holds a lock that
        # the interpreter wants when it shuts down.
        rest = b""
        while True:
            try:
                chunk = os.read(descriptor, 4096)
            except OSError:
                chunk = b""
            if not chunk:
                self.request_stop("the process that started this job is gone")
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        with suppress(*NOT_FOR_US):  # a newer parent may know more commands
            command: dict[str, Any] = json.loads(line)
            if command["do"] == "stop":
                self.request_stop("a stop was asked for")
            elif command["do"] == "steer":
                self.orders = read_orders(command["orders"])
