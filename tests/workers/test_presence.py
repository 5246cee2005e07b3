"""A worker is seen while it is there, and no longer."""

from __future__ import annotations

import threading

from tests.product import wait_until
from webapp.jobs.models import Worker
from workers import presence


def test_a_worker_is_seen_while_it_is_there(transactional_db: None) -> None:
    stop = threading.Event()
    thread = presence.announce("cpu", stop)
    wait_until(Worker.objects.filter(queue="cpu").exists, 60, "the worker seen")
    worker = Worker.objects.get()
    assert worker.name.endswith(f"@{presence.host()}")
    assert worker.facts["threads"] >= 1
    assert worker.facts["memory_bytes"] > 2**20
    stop.set()
    thread.join(60)
    assert not Worker.objects.exists()


def test_two_workers_of_one_queue_have_different_names() -> None:
    assert presence.worker_name("gpu") != presence.worker_name("cpu")
