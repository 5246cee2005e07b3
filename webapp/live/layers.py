"""The channel layer: hints from those who write rows to those who watch them."""

from __future__ import annotations

import asyncio
from typing import Any

from channels_redis.core import RedisChannelLayer
from redis.exceptions import RedisError

PAUSE_SECONDS = 1.0


class PatientRedisLayer(RedisChannelLayer):
    """A Redis layer whose readers outlive the server. Without it there are no hints; sockets stay open."""

    async def receive(self, channel: str) -> dict[str, Any]:
        """The next message for a channel, however long the server is away."""
        while True:
            try:
                message: dict[str, Any] = await super().receive(channel)
            except (RedisError, OSError):
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return message
