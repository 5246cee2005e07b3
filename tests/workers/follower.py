"""What an open run page keeps: a socket, opened anew whenever it breaks, and every point it brought."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.server.visitor import Visitor

PAUSE = 0.2  # seconds before it is opened again


class Follower:
    """Follows one job from its first event, in a thread of its own, as static/js/live.js does."""

    def __init__(self, visitor: Visitor, job: int) -> None:
        self.job = job
        self.state = ""
        self.attempt = 0
        self.seqs: list[int] = []
        self.epochs: dict[int, int] = {}  # of each epoch the seq that it came under last
        self.openings = 0
        self._address = f"{visitor.url.replace('http', 'ws')}/ws/jobs/{job}/?after="
        self._origin = Origin(visitor.url)
        self._cookie = f"mmfrm_session={visitor.cookie('mmfrm_session')}"
        self._socket: ClientConnection | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"follower {job}", daemon=True)
        self._thread.start()

    @property
    def seq(self) -> int:
        """The last event that it has."""
        return self.seqs[-1] if self.seqs else 0

    def cut(self) -> None:
        """The network breaks: no farewell from either side."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Follow no longer."""
        self._is_over.set()
        self.cut()
        self._thread.join(10.0)

    def _follow(self) -> None:
        while not self._is_over.is_set():
            with suppress(OSError, WebSocketException):  # TimeoutError is an OSError
                self._listen()
            time.sleep(PAUSE)

    def _listen(self) -> None:
        headers = {"Cookie": self._cookie}
        with connect(f"{self._address}{self.seq}", origin=self._origin, additional_headers=headers) as opened:
            self._socket = opened
            self.openings += 1
            while not self._is_over.is_set():
                message = json.loads(opened.recv())
                for event in message["events"]:
                    self.seqs.append(event["seq"])
                    if event["kind"] == "epoch":
                        self.epochs[event["key"]] = event["seq"]
                self.state, self.attempt = message["job"]["state"], message["job"]["attempt"]
