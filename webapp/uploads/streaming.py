"""Request bodies of uploads, read while they arrive.

Django's ASGI handler keeps a whole body in a temporary file before a view sees any of it. For pieces of an
upload that would write every byte twice, and lose all of a piece whose connection is cut. Here the view
reads straight from the connection instead.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.core.handlers.asgi import ASGIHandler

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
PIECE = re.compile(r"/uploads/[0-9a-f-]{36}$")
PATIENCE = 30.0  # seconds without a byte, after which the connection is taken for dead
LOOK = 0.5  # seconds between looks at whether the request was given up


class ArrivingBody:
    """A body as a file that is read in a thread, fed by the event loop's `receive`.

    It also stands in for `receive`, so that Django hears of a disconnection only once the body is over.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()  # nothing more will be asked of `receive` for the body
        self._left = b""
        self._whole = False
        self._cut = False

    async def __call__(self) -> Mapping[str, Any]:
        """What Django's handler listens to, for a disconnection."""
        await self._over.wait()
        return {"type": "http.disconnect"} if self._cut else await self._receive()

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, b"" at the end. Raises ConnectionError, or TimeoutError after PATIENCE."""
        while not self._left and not self._whole:
            self._take(self._next_message())
        if size < 0:
            size = len(self._left)
        data, self._left = self._left[:size], self._left[size:]
        return data

    def close(self) -> None:
        """Nobody reads on; called in the event loop."""
        self._cut = self._cut or not self._whole
        self._whole = True
        self._over.set()

    def _take(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.disconnect":
            self._cut = True
            self._loop.call_soon_threadsafe(self._over.set)
            raise ConnectionResetError("the connection was cut")
        self._left = message.get("body", b"")
        if not message.get("more_body", False):
            self._whole = True
            self._loop.call_soon_threadsafe(self._over.set)

    def _next_message(self) -> Mapping[str, Any]:
        message = asyncio.run_coroutine_threadsafe(self._received(), self._loop)
        give_up_at = time.monotonic() + PATIENCE
        while time.monotonic() < give_up_at:
            try:
                return message.result(timeout=LOOK)
            except TimeoutError:
                if self._cut:  # given up; the loop may be waiting for this very thread
                    raise ConnectionResetError("the request was given up") from None
        message.cancel()
        raise TimeoutError("nothing came for a while")

    async def _received(self) -> Mapping[str, Any]:
        return await self._receive()


class PagesHandler(ASGIHandler):
    """Django's handler, but for pieces of uploads."""

    async def handle(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        """One request."""
        if scope["method"] != "PATCH" or not PIECE.search(scope["path"]):
            await super().handle(scope, receive, send)
            return
        body = ArrivingBody(receive)
        try:
            await super().handle(scope, body, send)
        finally:
            body.close()

    async def read_body(self, receive: Receive) -> Any:
        """The body as a file."""
        return receive if isinstance(receive, ArrivingBody) else await super().read_body(receive)
