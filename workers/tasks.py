"""What a message in the broker means: look at the queue's rows. Nothing else is in it."""

from __future__ import annotations

import threading

from webapp.celery import app
from webapp.jobs import services
from workers import process
from workers.presence import host, worker_name

leaving = threading.Event()  # set when this worker is to shut down


@app.task(name="work")
def work(queue: str) -> None:
    """Do the jobs of a queue, one after the other, until none waits."""
    while not leaving.is_set() and (job := services.claim(queue, worker_name(queue))) is not None:
        process.run(job, host=host(), leaving=leaving)
