"""What templates/components/upload.html asks. Built into every template."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import template
from django.conf import settings
from django.forms import BoundField

from webapp.accounts.request import user_of
from webapp.uploads import selectors
from webapp.uploads.models import Upload

register = template.Library()


@register.simple_tag(takes_context=True)
def upload_state(context: template.Context, field: BoundField) -> dict[str, Any]:
    """Room for uploads, those that a refused form came back with, and those that can be gone on with."""
    user = user_of(context["request"])
    chosen = _ids(field.value())
    rows = list(selectors.unfinished(user))
    return {
        "room": selectors.room(user),
        "chunk": settings.UPLOAD_CHUNK_BYTES,
        "chosen": [row for row in rows if row.pk in chosen and row.is_finished],
        "waiting": [_waiting(row) for row in rows if row.pk not in chosen or not row.is_finished],
        "kept_days": settings.UPLOAD_KEEP_DAYS,
    }


def _waiting(row: Upload) -> dict[str, Any]:
    arrived = selectors.bytes_on_disk(row) or 0
    return {"row": row, "arrived": arrived, "share": arrived / row.size if row.size else 1.0}


def _ids(value: Any) -> set[UUID]:
    ids = set()
    for item in value if isinstance(value, list) else [value]:
        try:
            ids.add(UUID(str(item)))
        except ValueError:  # nothing, or what is no id
            continue
    return ids
