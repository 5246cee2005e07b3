"""What a webhook is told: names, states, figures and a link. Never a face."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from webapp.jobs import kinds
from webapp.jobs.models import Job
from webapp.news.models import Webhook

DEEPEST = 2  # levels of a result that are looked into


def of_job(webhook: Webhook, job: Job) -> str:
    """The message about a job that has ended."""
    return _text(
        {
            "event": f"job.{job.state}",
            "at": _moment(job.finished_at or timezone.now()),
            "job": {
                "id": job.pk,
                "kind": job.kind,
                "title": job.title,
                "state": job.state,
                "owner": str(job.owner),
                "started_at": _moment(job.started_at),
                "finished_at": _moment(job.finished_at),
                "seconds": job.took_seconds,
                "figures": figures_of(job.result),
                "link": webhook.base_url + kinds.of(job).url(job),
            },
        }
    )


def of_test(webhook: Webhook) -> str:
    """A message that only shows that the way is open."""
    return _text({"event": "test", "at": _moment(timezone.now()), "webhook": webhook.name})


def figures_of(result: dict[str, Any], depth: int = DEEPEST) -> dict[str, Any]:
    """The numbers of a job's result, and nothing else: texts may name files."""
    found: dict[str, Any] = {}
    for name, value in result.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
        elif isinstance(value, dict) and depth > 1 and (inner := figures_of(value, depth - 1)):
            found[name] = inner
    return found


def _moment(at: Any) -> str | None:
    return at.isoformat() if at else None


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))
