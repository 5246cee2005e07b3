"""Whether pages are served."""

from __future__ import annotations

import urllib.request


def is_healthy(address: str, *, host: str = "") -> bool:
    """Whether the web process at an address, asked by the name `host`, and its database answer."""
    request = urllib.request.Request(f"{address}/health", headers={"Host": host} if host else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=2.0) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False
