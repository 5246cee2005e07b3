"""What happened to a job, in words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from mmfrm.steering import in_words
from webapp.jobs.models import Job, JobEvent

DONE = {
    Job.State.QUEUED: "It waits in the queue and goes on from its last checkpoint.",
    Job.State.STOPPING: "Stopping: it writes a checkpoint first.",
    Job.State.STOPPED: "Stopped. It can be resumed.",
    Job.State.PAUSING: "Pausing: it writes a checkpoint first.",
    Job.State.PAUSED: "Paused. It keeps its place until you resume it.",
}
HISTORY = ("state", "moved", "steering", "steered")


def what_happened(job: Job, *, changed: bool) -> str:
    """An answer to whoever pressed a button: what it did, or why it did nothing."""
    if changed:
        return DONE.get(Job.State(job.state), f"It is now {job.get_state_display().lower()}.")
    return f"Nothing to do: it is already {job.get_state_display().lower()}."


def log_of(job: Job) -> QuerySet[JobEvent]:
    """What a job said and what happened to it, newest first; steps and epochs are on the charts."""
    return JobEvent.objects.filter(job=job).exclude(kind__in=("step", "epoch", "hardware")).order_by("-seq")


def as_line(row: JobEvent) -> dict[str, Any]:
    """An event in words: {"at", "kind", "level", "text", "detail"}."""
    text, detail = _wished(row.kind, row.payload) or _said(row.kind, row.payload)
    level = "error" if row.kind == "failed" else row.payload.get("level", "info")
    return {
        "at": row.at,
        "kind": row.kind,
        "level": level,
        "text": text,
        "detail": detail,
        "attempt": row.attempt,
    }


def _wished(kind: str, payload: dict[str, Any]) -> tuple[str, str] | None:
    """What people did to it, and what came of that: text and detail."""
    match kind:
        case "state":
            return Job.State(payload["state"]).label, " ".join(
                filter(None, (payload.get("reason"), _by(payload)))
            )
        case "moved":
            return f"Moved {'up' if payload['up'] else 'down'} in the queue", _by(payload)
        case "steering":
            return payload["text"], _by(payload)
        case "steered":
            told = in_words(payload["do"], payload["value"])
            return (
                f"{told}: from step {payload['step'] + 1} on, in epoch {payload['epoch'] + 1}",
                f"rate {payload['learning_rate']:.3g}, {payload['epochs']} epochs in all",
            )
        case _:
            return None


def _said(kind: str, payload: dict[str, Any]) -> tuple[str, str]:
    """What it said itself: text and detail."""
    text, detail = kind, ""
    match kind:
        case "notice":
            text = payload["text"]
        case "started":
            text = "Goes on from its checkpoint" if payload["resumed"] else "Began to work"
        case "checkpoint":
            best = ", the best so far" if payload.get("best") else ""
            text = f"Checkpoint after epoch {payload['epoch'] + 1}, step {payload['step']}{best}"
        case "evaluated":
            text = f"Measured on {payload['split']}"
        case "failed":
            text, detail = payload["message"], payload.get("detail", "")
        case "stopped":
            text = f"Ended early: {payload['reason']}" if payload.get("reason") else "Ended early, as asked"
        case "finished":
            text = "Complete"
    return text, detail


def history(job: Job, limit: int = 50) -> list[dict[str, Any]]:
    """Changes of state, steering, and who wished them, newest first."""
    rows = JobEvent.objects.filter(job=job, kind__in=HISTORY).order_by("-seq")[:limit]
    return [as_line(row) for row in rows]


def notices(job: Job, limit: int = 30) -> list[dict[str, Any]]:
    """The log's tail: what the job said for people, newest first."""
    kinds = ("notice", "started", "stopped", "failed", "evaluated", "finished")
    rows = JobEvent.objects.filter(job=job, kind__in=kinds).order_by("-seq")[:limit]
    return [as_line(row) for row in rows]


def output_tail(job: Job, most: int = 16_384) -> str:
    """The end of what the child processes wrote beside their events: warnings, tracebacks."""
    try:
        with (Path(settings.DATA_DIR) / "jobs" / str(job.pk) / "log.txt").open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - most)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if start else text  # not from the middle of a line


def _by(payload: dict[str, Any]) -> str:
    return f"by {payload['by']}" if payload.get("by") else ""
