"""What every template knows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from webapp.accounts.permissions import may_administer, may_create


def house(request: HttpRequest) -> dict[str, Any]:
    """The mode, and what the visitor's role allows in general."""
    return {
        "mode": settings.MODE,
        "may_create": may_create(request.user),
        "may_administer": may_administer(request.user),
    }
