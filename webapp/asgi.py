"""The web process: pages over HTTP, live events over WebSockets."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django import setup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
setup(set_prefix=False)

from webapp.uploads.streaming import PagesHandler  # noqa: E402  # needs the settings

pages = PagesHandler()  # as get_asgi_application() makes it, but that uploads are read as they arrive

from webapp.live.origin import SameOrigin  # noqa: E402  # these need the apps to be ready
from webapp.live.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": SameOrigin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
