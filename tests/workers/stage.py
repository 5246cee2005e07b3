"""Nine trainings of a running product, one in each state of the state machine, and who watches all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.product import REPOSITORY, Product, start_product, wait_until
from tests.server.visitor import Visitor
from tests.workers.follower import Follower

MOVING = ("starting", "running", "pausing", "stopping")  # a worker has it
RESTING = ("paused", "stopped", "finished", "failed")
STATES = ("queued", *MOVING, *RESTING)
PATIENCE = 150.0  # seconds; the truth takes less than 15, loading torch in five processes takes longer
SETTINGS = {
    "JOB_HEARTBEAT_SECONDS": "0.5",
    "JOB_LOST_SECONDS": "8",
    "JOB_GRACE_SECONDS": "600",  # a held child is not ended before the test lets it go
    "HARDWARE_SECONDS": "60",
}
DRAW = """
from webapp.accounts.models import User
from webapp.datasets.services import draw
draw(User.objects.get(), count=140, seed=5)
"""
CAST = """
from django.db import transaction
from mmfrm.settings import replace
from mmfrm.presets import presets
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.experiments.services import start_run
from webapp.jobs import services
config = replace(presets()["quick-look"], {
    "network.fusion": "none", "network.width": 0.125, "optim.epochs": 10_000, "optim.batch_size": 32,
    "runtime.checkpoint_seconds": 5.0, "runtime.threads": 1,
})
user, version = User.objects.get(), DatasetVersion.objects.get()
with transaction.atomic():  # no worker takes one before all are where they belong
    for name in ["a", "b", "c", "d", "e", "paused", "stopped", "finished", "failed"]:
        run = start_run(user, version=version, preset="quick-look", config=config, name=name)
        if len(name) > 1:
            services.move(run.job_id, name, ["queued"], reason=f"It was {name} before.")
        print(name, run.pk, run.job_id)
"""


@dataclass(frozen=True)
class Row:
    """A job's row and its stored epochs in the order in which a browser gets them."""

    state: str
    attempt: int
    last_seq: int
    epochs: list[int]


@dataclass
class Stage:
    """The product with three more workers beside its own, so that four trainings go on at once."""

    product: Product
    visitor: Visitor
    runs: dict[int, int] = field(default_factory=dict)  # by job
    resting: dict[str, int] = field(default_factory=dict)  # jobs that nobody touches, by state
    live: list[int] = field(default_factory=list)  # the other five jobs
    followers: dict[int, Follower] = field(default_factory=dict)
    more: list[subprocess.Popen[bytes]] = field(default_factory=list)  # workers

    @classmethod
    def set_up(cls, folder: Path) -> Stage:
        product = start_product(folder, patience=PATIENCE, **SETTINGS)
        product.query(DRAW)
        visitor = Visitor(product.url)
        visitor.get(product.link.removeprefix(product.url))
        stage = cls(product, visitor)
        try:
            stage.fill()
        except BaseException:
            stage.tear_down()
            raise
        return stage

    def fill(self) -> None:
        """Nine trainings, a follower for each, and a worker for four of them."""
        ready = "SELECT 1 FROM datasets_datasetversion WHERE ready_at IS NOT NULL"
        wait_until(lambda: bool(self.product.rows(ready)), PATIENCE, "drawn faces")
        for line in self.product.query(CAST).split("\n"):
            if line.strip():
                name, run, job = line.split()
                self.runs[int(job)] = int(run)
                if len(name) > 1:
                    self.resting[name] = int(job)
                else:
                    self.live.append(int(job))
        self.followers = {job: Follower(self.visitor, job) for job in self.runs}
        self.start_more_workers()

    def tear_down(self) -> None:
        for follower in self.followers.values():
            follower.close()
        for worker in self.more:
            worker.kill()
            worker.wait()
        self.product.stop()

    # --- the scene -----------------------------------------------------------------------------------

    def arrange(self) -> dict[str, int]:
        """Bring a job into each state; answers them by state. What a child must not leave, it is held in."""
        wait_until(self._is_calm, 2 * PATIENCE, "three that run, two at rest")
        running = self._in("running")
        for job in running:
            self.hold(job)  # else three trainings use the cores that others need to start
        for job in self._in("paused") + self._in("stopped"):
            self._press(job, "resume")
        # Four workers have three trainings: the first that was resumed starts, the other one waits.
        wait_until(lambda: len(self._in("starting")) == 1, PATIENCE, "one that starts")
        self.hold(self._in("starting")[0])
        self._press(running[1], "pause")
        self._press(running[2], "stop")
        scene = self.resting | {state: job for job, state in self._states().items()}
        assert set(scene) == set(STATES), self._states()
        return scene

    def _is_calm(self) -> bool:
        """Three of the five train and have points, and two are at rest."""
        running, waiting = self._in("running"), self._in("queued")
        if (len(running), len(waiting)) == (4, 1):  # at the beginning
            self._press(waiting[0], "stop")
            self._press(running[3], "pause")
        is_dealt = len(running) == 3 and len(self._in("paused") + self._in("stopped")) == 2
        return is_dealt and all(self.row(job).epochs for job in running)

    def _press(self, job: int, button: str) -> None:
        self.visitor.post(f"/jobs/{job}/{button}/", {})

    def _in(self, state: str) -> list[int]:
        return [job for job, found in self._states().items() if found == state]

    def _states(self) -> dict[int, str]:
        found = dict(self.product.rows("SELECT id, state FROM jobs_job"))
        return {job: found[job] for job in self.live}

    # --- what is seen --------------------------------------------------------------------------------

    def row(self, job: int) -> Row:
        found = "SELECT state, attempt, last_seq FROM jobs_job WHERE id = ?"
        epochs = "SELECT key FROM jobs_jobevent WHERE job_id = ? AND kind = 'epoch' ORDER BY seq"
        [(state, attempt, last_seq)] = self.product.rows(found, job)
        return Row(state, attempt, last_seq, [key for (key,) in self.product.rows(epochs, job)])

    def tells_the_truth(self, job: int, states: tuple[str, ...]) -> bool:
        """Whether row, socket and page say one thing, one of `states`, and where a worker has it, it has."""
        [(state, attempt)] = self.product.rows("SELECT state, attempt FROM jobs_job WHERE id = ?", job)
        follower = self.followers[job]
        if state not in states or (follower.state, follower.attempt) != (state, attempt):
            return False
        if state in MOVING and self.child(job) is None:
            return False
        with suppress(OSError):
            head = self.visitor.get(f"/experiments/runs/{self.runs[job]}/head/")
            return f'data-state="{state}" data-attempt="{attempt}"' in head
        return False

    # --- processes -----------------------------------------------------------------------------------

    def workers(self) -> list[int]:
        """Process ids of all that take trainings."""
        return [self.product.processes()["gpu"], *(worker.pid for worker in self.more)]

    def child(self, job: int) -> psutil.Process | None:
        """The process of a training, if there is one."""
        folder = str(self.product.data_dir / "jobs" / str(job))
        for worker in self.workers():
            with suppress(psutil.Error):
                for child in psutil.Process(worker).children():
                    with suppress(psutil.Error):
                        if folder in child.cmdline():
                            return child
        return None

    def children(self) -> list[psutil.Process]:
        """Of the four trainings that a worker has."""
        found = [child for job in self.live if (child := self.child(job)) is not None]
        assert len(found) == len(MOVING)
        return found

    def hold(self, job: int) -> None:
        """Stop its process where it is, as soon as there is one."""
        wait_until(lambda: self.child(job) is not None, PATIENCE, f"a process of job {job}")
        child = self.child(job)
        assert child is not None
        child.suspend()

    def start_more_workers(self) -> None:
        command = [sys.executable, "-m", "workers", "work", "gpu"]
        env = dict(self.product.env) | {"MMFRM_MODE": "embedded"}
        with (self.product.data_dir / "logs" / "more.log").open("ab") as log:
            self.more = [
                subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=log, stderr=log) for _ in range(3)
            ]

    def kill_workers(self, number: int) -> None:
        for worker in self.more:
            worker.send_signal(number)
        if number == signal.SIGKILL:
            os.kill(self.product.processes()["gpu"], number)
