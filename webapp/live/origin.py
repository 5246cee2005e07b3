"""Who may open a socket: pages of this server alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class SameOrigin:
    """Refuses handshakes that another site's page makes, as Django's CSRF check does for forms.

    Browsers send cookies along with such a handshake, and no token protects it. Comparing with the Host
    header holds also where every host name is allowed, as in embedded mode.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if is_ours(scope["headers"]):
            await self.application(scope, receive, send)
            return
        await receive()  # the handshake
        await send({"type": "websocket.close", "code": 4403})


def is_ours(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the Origin header names the host that was asked, or one of CSRF_TRUSTED_ORIGINS."""
    values = {name.lower(): value.decode("latin-1") for name, value in headers}
    origin, host = values.get(b"origin", ""), values.get(b"host", "")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
