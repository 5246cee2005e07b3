"""Whether htmx asks for a part of a page."""

from __future__ import annotations

from django.http import HttpRequest


def wants_part(request: HttpRequest) -> bool:
    """True for a swap; False for a whole page, also where htmx brings one back out of its history."""
    headers = request.headers
    return bool(headers.get("HX-Request")) and not headers.get("HX-History-Restore-Request")
