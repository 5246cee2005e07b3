"""A real training under a real worker: steered, cut off, gone on with, stopped; no seam in its curve.

What happens when one part of the product is killed is in test_kill_in_every_state.py.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.product import Product, start_product, wait_until
from tests.server.visitor import Visitor

pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.slow]

DRAW = """
from webapp.accounts.models import User
from webapp.datasets.services import draw
draw(User.objects.get(), count=140, seed=5)
"""
TRAIN = """
from mmfrm.config import TrainConfig
from mmfrm.settings import replace
from mmfrm.presets import presets
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.experiments.services import start_run
config = replace(presets()["quick-look"], {
    "network.fusion": "none", "network.width": 0.25, "optim.epochs": 2000, "optim.batch_size": 32,
    "optim.warmup_steps": 0, "optim.schedule": "constant",  # rates hold, however far it comes meanwhile
    "runtime.checkpoint_seconds": 5.0, "runtime.threads": 1,
})
run = start_run(User.objects.get(), version=DatasetVersion.objects.get(), preset="quick-look", config=config,
                name="to be killed")
print(run.pk, run.job_id)
"""
STOP = """
from webapp.jobs.models import Job
from webapp.jobs.services import stop
job = Job.objects.get(pk={pk})
stop(job, job.owner)
"""


@dataclass(frozen=True)
class Row:
    """A job's row, and the numbers of its stored epochs in the order in which a browser gets them."""

    state: str
    attempt: int
    losses: int
    reason: str
    epochs: list[int]


@dataclass
class Training:
    """A training in a running product, seen through its rows."""

    product: Product
    run: int
    job: int

    def row(self) -> Row:
        job = "SELECT state, attempt, losses, reason FROM jobs_job WHERE id = ?"
        epochs = "SELECT key FROM jobs_jobevent WHERE job_id = ? AND kind = 'epoch' ORDER BY seq"
        [(state, attempt, losses, reason)] = self.product.rows(job, self.job)
        keys = [key for (key,) in self.product.rows(epochs, self.job)]
        return Row(state, attempt, losses, reason, keys)

    def has_reached(self, epochs: int) -> bool:
        """Whether so many epochs are stored; a failed job will never have."""
        row = self.row()
        assert row.state != "failed", row.reason
        return len(row.epochs) >= epochs

    def steered(self, number: int) -> dict[str, Any]:
        """What its trainer said when an order began to hold; waits for it."""
        found = "SELECT payload FROM jobs_jobevent WHERE job_id = ? AND kind = 'steered' AND key = ?"
        wait_until(lambda: bool(self.product.rows(found, self.job, number)), 120, f"order {number} obeyed")
        payload: dict[str, Any] = json.loads(self.product.rows(found, self.job, number)[0][0])
        return payload

    def child(self) -> psutil.Process:
        """The training's own process."""
        worker = psutil.Process(self.product.processes()["gpu"])
        [child] = [child for child in worker.children() if f"/jobs/{self.job}" in " ".join(child.cmdline())]
        return child


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    product = start_product(tmp_path_factory.mktemp("killed"))
    product.query(DRAW)
    ready = "SELECT 1 FROM datasets_datasetversion WHERE ready_at IS NOT NULL"
    wait_until(lambda: bool(product.rows(ready)), 180, "drawn faces")
    run, job = product.query(TRAIN).split()
    training = Training(product, int(run), int(job))
    wait_until(lambda: training.has_reached(3), 180, "three epochs")
    yield training
    training.product.stop()  # the last of those that were started in turn


def test_what_is_ordered_in_the_browser_holds_in_the_trainer_and_the_history_says_who_and_when(
    training: Training,
) -> None:
    visitor = Visitor(training.product.url)
    visitor.get(training.product.link.removeprefix(training.product.url))
    page = f"/experiments/runs/{training.run}/"

    def order(part: str, **fields: object) -> None:
        visitor.post(f"{page}steer/", {"part": part, "request_key": uuid.uuid4(), "seen": 0} | fields)

    order("rate", do="set_rate", rate_value="0.0004")
    began = training.steered(1)
    assert began["learning_rate"] == pytest.approx(0.0004, rel=0.01)
    order("rate", do="scale_rate", rate_value="0.5", seen=1)
    halved = training.steered(2)
    assert halved["step"] >= began["step"]
    assert halved["learning_rate"] == pytest.approx(0.0002, rel=0.01)
    order("extend", epochs=2005, planned=2000, seen=2)
    assert training.steered(3)["epochs"] == 2005
    order("note", note_epoch=1, text="the rate was too high")
    last = len(training.row().epochs) + 25  # counted from 1, as people do; not reached before it is ordered
    order("stop_after", epoch=last, seen=3)
    wait_until(lambda: training.row().state == "stopped", 180, f"stopped after epoch {last}")
    row = training.row()
    assert row.epochs == list(range(last))
    assert f"after epoch {last}" in row.reason
    rates = "SELECT payload FROM jobs_jobevent WHERE job_id = ? AND kind = 'epoch' ORDER BY key DESC LIMIT 1"
    [(payload,)] = training.product.rows(rates, training.job)
    assert json.loads(payload)["learning_rate"] == pytest.approx(0.0002, rel=0.01)

    [(who,)] = training.product.rows("SELECT username FROM accounts_user")
    history = visitor.get(f"{page}log/")
    for told in ("Learning rate × 0.5", "5 more epochs", f"Stop after epoch {last}", "the rate was too high"):
        assert re.search(rf"{re.escape(told)}.*by {who}.*<time", history, re.DOTALL), told
    visitor.post(f"/jobs/{training.job}/resume/", {})
    wait_until(lambda: training.has_reached(last + 2), 180, "it goes on beyond the epoch of that order")


def test_a_training_goes_on_after_the_whole_product_was_killed(training: Training) -> None:
    before = training.row()
    old = training.product
    everybody = psutil.Process(old.process.pid).children(recursive=True)
    old.process.kill()
    for process in everybody:  # a power cut spares nobody
        if process.is_running():
            process.kill()
    training.product = start_product(old.data_dir)
    wait_until(lambda: training.has_reached(len(before.epochs) + 3), 180, "epochs after a power cut")
    after = training.row()
    assert after.epochs == list(range(len(after.epochs)))


def test_ctrl_c_saves_a_training_which_goes_on_at_the_next_start(training: Training) -> None:
    before = training.row()
    old = training.product
    child = training.child()
    assert old.stop(patience=20.0) == 0  # more than a supervisor ever gives its services
    assert not child.is_running()
    training.product = start_product(old.data_dir)
    wait_until(lambda: training.has_reached(len(before.epochs) + 3), 180, "epochs after Ctrl-C")
    after = training.row()
    assert after.losses <= before.losses
    assert after.epochs == list(range(len(after.epochs)))


def test_a_stopped_training_ends_its_process(training: Training) -> None:
    child = training.child()
    training.product.query(STOP.format(pk=training.job))
    wait_until(lambda: training.row().state == "stopped", 120, "stopped")
    assert not child.is_running()
