"""Very many rows at once."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet


def delete_at_once(rows: QuerySet[Any]) -> None:
    """Delete rows in one statement. Those that refer to them go first: they are not looked for.

    Deleted along with what they belong to, each would be loaded, and a hundred go at a time, while nobody
    else can write to SQLite.
    """
    rows._raw_delete(rows.db)
