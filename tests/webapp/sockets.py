"""A browser's end of a socket, signed in by a cookie as browsers are."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from webapp.accounts.models import User
from webapp.live.routing import websocket_urlpatterns

PATIENCE = 30  # seconds: a loaded machine is slow, and not wrong


class Socket(ApplicationCommunicator):
    """(channels' own would want daphne to be installed.)"""

    def __init__(self, client: Client, address: str) -> None:
        path, _, query = address.partition("?")
        name = settings.SESSION_COOKIE_NAME
        cookie = f"{name}={client.cookies[name].value}" if name in client.cookies else ""
        scope = {"type": "websocket", "path": path, "query_string": query.encode(), "subprotocols": []}
        headers = [(b"cookie", cookie.encode())]
        super().__init__(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), {**scope, "headers": headers})

    async def json(self) -> dict[str, Any]:
        """The next message."""
        message = await self.receive_output(PATIENCE)
        assert message["type"] == "websocket.send", message
        said: dict[str, Any] = json.loads(message["text"])
        return said

    async def close_code(self) -> int:
        """Of the server's goodbye, which must be next."""
        message = await self.receive_output(PATIENCE)
        assert message["type"] == "websocket.close", message
        return int(message["code"])

    async def leave(self) -> None:
        """As a page that is closed."""
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(PATIENCE)


async def opened(visitor: User | AnonymousUser | Client, address: str) -> Socket:
    """A socket of somebody, or of a browser that is there already, which the server has accepted."""
    client = visitor if isinstance(visitor, Client) else Client()
    if isinstance(visitor, User):
        await sync_to_async(client.force_login)(visitor)
    socket = Socket(client, address)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(PATIENCE))["type"] == "websocket.accept"
    return socket
