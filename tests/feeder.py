"""A process that plays a worker with one synthetic run, on another process's command.

`python -m tests.feeder` reads commands from standard input, does each, and answers one JSON line:
  start NAME [EPOCHS STEPS]   make a run, take it and begin (with so many epochs and steps written already)
  epoch N, steps N            say an epoch's end, its steps
  hardware N                  say what the machine does
  end                         say the test figures and the end
  state                       the job's state
Wishes are granted as a worker does: a stop or pause becomes true within half a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webapp.jobs.models import Job

REPOSITORY = Path(__file__).resolve().parent.parent


class Feeder:
    """The other end: starts the process on a product's environment and sends it commands."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.feeder"], cwd=REPOSITORY, env=dict(env), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Feeder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate()

    def do(self, command: str) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the feeder died of {command!r}"
        said: dict[str, Any] = json.loads(answer)
        return said


class Play:
    """The process's state: a run and its story."""

    def __init__(self) -> None:
        from tests.synthetic_runs import Story

        self.story = Story(epochs=200, steps=60)
        self.job: Job | None = None

    def obey(self, command: str, *arguments: str) -> dict[str, Any]:
        match command:
            case "start":
                return self.start(*arguments)
            case "epoch":
                return self.say([self.story.epoch_end(int(arguments[0]))])
            case "steps":
                return self.say(list(self.story.steps_of(int(arguments[0]))))
            case "hardware":
                return self.say([self.story.hardware(int(arguments[0]), gpus=1)])
            case "end":
                return self.end()
            case _:
                return {"state": self.state()}

    def start(self, name: str, epochs: str = "0", steps: str = "0") -> dict[str, Any]:
        from django.db import transaction

        from tests import synthetic_runs
        from webapp.accounts.models import User
        from webapp.datasets.models import DatasetVersion

        owner = User.objects.filter(role="administrator").latest("pk")
        with transaction.atomic():  # so that no real worker sees it waiting
            version = DatasetVersion.objects.filter(dataset__name="FERPlus").first()
            run = synthetic_runs.queued_run(
                owner,
                version or synthetic_runs.ready_version(owner),
                name=name,
                changes={"optim.epochs": int(epochs) or self.story.epochs},
            )
            if int(epochs):
                self.job = synthetic_runs.play_long(run, epochs=int(epochs), steps=int(steps))
            else:
                self.job = synthetic_runs.play(run, self.story, range(0))
            synthetic_runs.keep_a_model(run)
        threading.Thread(target=live, args=(self.job,), daemon=True).start()
        return {"run": run.pk, "job": run.job_id}

    def say(self, events: list[Any]) -> dict[str, Any]:
        from webapp.jobs import services

        assert self.job is not None
        told_at = time.time()
        heard = all(services.record(self.job, event) for event in events)
        return {"told_at": told_at, "heard": heard, "seconds": time.time() - told_at}

    def end(self) -> dict[str, Any]:
        from mmfrm.events import Finished
        from webapp.jobs import services

        assert self.job is not None
        answer = self.say(list(self.story.ending()))
        services.end(self.job, last=Finished(), exit_status="0")
        return answer

    def state(self) -> str:
        from webapp.jobs.models import Job

        assert self.job is not None
        return Job.objects.values_list("state", flat=True).get(pk=self.job.pk)


def live(job: Job) -> None:
    """Give signs of life, and grant wishes."""
    from django.db import connection

    from mmfrm.events import Stopped
    from webapp.jobs import services

    while (state := services.heartbeat(job)) is not None:
        time.sleep(0.5)
        if state in ("stopping", "pausing"):
            services.end(job, last=Stopped(reason="asked to"), exit_status="3")
    connection.close()


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    django.setup()
    from webapp.jobs.doorbell import hint_from_a_thread

    hint_from_a_thread()  # as workers do
    play = Play()
    for line in sys.stdin:
        print(json.dumps(play.obey(*line.split())), flush=True)


if __name__ == "__main__":
    main()
