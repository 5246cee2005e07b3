"""The processes of this package that know the web application: each sets Django up, then does its work."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

from workers.served import is_healthy


def _set_up() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    django.setup()


def work(queue: str) -> int:
    """Take jobs from a queue until SIGTERM. Messages only wake the worker: see workers.tasks."""
    _set_up()
    from celery.signals import worker_shutting_down

    from webapp.celery import app
    from webapp.jobs.doorbell import hint_from_a_thread
    from workers import presence, tasks

    hint_from_a_thread()

    def leave(**_: Any) -> None:
        tasks.leaving.set()

    worker_shutting_down.connect(leave)
    announced = presence.announce(queue, tasks.leaving)
    # Threads, one at a time: the task only waits for a child process, and nothing is ever forked.
    start: Callable[[list[str]], object] = app.start  # it returns, whatever its type says
    start(
        [
            "worker", "--pool", "threads", "--concurrency", "1", "--queues", queue,
            "--hostname", presence.worker_name(queue), "--loglevel", "INFO",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]
    )  # fmt: skip
    tasks.leaving.set()
    announced.join(5.0)
    return 0


def reap() -> int:
    """Look after lost jobs, and deliver webhooks, until SIGTERM."""
    _set_up()
    from webapp.jobs.doorbell import hint_from_a_thread
    from workers import postman, presence, reaper

    hint_from_a_thread()

    leaving = threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:
        leaving.set()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    announced = presence.announce("reaper", leaving)
    postman.start(leaving)
    reaper.run(leaving)
    announced.join(5.0)
    return 0


def prepare() -> int:
    """Bring the database and the static files up to date."""
    _set_up()
    call_command("migrate", interactive=False, verbosity=1)
    collect_static(Path(settings.BASE_DIR) / "static", Path(settings.STATIC_ROOT))
    if settings.EMBEDDED:
        call_command("sign_in_link")
    return 0


def health(service: str) -> int:
    """Whether a service of this machine does its work; 0 if so. For healthchecks."""
    _set_up()
    if service == "web":
        # The name that the web process answers to; it is reached here, not where that name leads.
        allowed = next(iter(settings.ALLOWED_HOSTS), "localhost").lstrip(".")
        port = os.environ.get("UVICORN_PORT", "8000")
        return 0 if is_healthy(f"http://127.0.0.1:{port}", host=allowed) else 1
    from webapp.jobs.selectors import live_workers
    from workers.presence import host

    return 0 if live_workers().filter(queue=service, host=host()).exists() else 1


def collect_static(source: Path, target: Path) -> bool:
    """Copy the static files under names with their hashes, if any has changed. True if it was done."""
    mark = target / "collected"
    now = fingerprint(source)
    if mark.exists() and mark.read_text() == now:
        return False
    call_command("collectstatic", interactive=False, verbosity=0)
    mark.write_text(now)
    return True


def fingerprint(folder: Path) -> str:
    """Changes whenever a file below the folder is added, removed or written."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            digest.update(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


COMMANDS: dict[str, Callable[..., int]] = {
    "work": work,
    "reaper": reap,
    "prepare": prepare,
    "health": health,
}
