"""Workers say that they live."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from webapp.jobs.models import Worker


def seen(*, name: str, queue: str, host: str, pid: int, facts: dict[str, Any]) -> None:
    """A worker says that it lives."""
    now = timezone.now()
    Worker.objects.update_or_create(
        name=name,
        defaults={"queue": queue, "host": host, "pid": pid, "facts": facts, "seen_at": now},
        create_defaults={
            "queue": queue,
            "host": host,
            "pid": pid,
            "facts": facts,
            "seen_at": now,
            "started_at": now,
        },
    )


def gone(name: str) -> None:
    """A worker says that it leaves."""
    Worker.objects.filter(name=name).delete()
