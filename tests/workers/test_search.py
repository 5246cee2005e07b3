"""A search with a real worker on drawn faces: it goes on by itself, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.product import Product, start_product, wait_until

pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.slow]

DRAW = """
from webapp.accounts.models import User
from webapp.datasets.services import draw
draw(User.objects.get(), count=140, seed=5)
"""
SEARCH = """
import uuid
from mmfrm.settings import replace
from mmfrm.presets import presets
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.searches import services, space
config = replace(presets()["quick-look"], {
    "network.fusion": "none", "network.width": 0.125, "optim.epochs": 3, "optim.batch_size": 32,
    "runtime.threads": 1,
})
rate = space.dimension_of(config, "optim.learning_rate", low=1e-5, high=1e-2, log=True)
print(services.start_search(
    User.objects.get(), version=DatasetVersion.objects.get(), preset="quick-look", config=config,
    space=[rate], objective="accuracy", name="Which rate?", budget=3, pruner="halving", grace_epochs=1,
    request_key=uuid.uuid4()).pk)
"""
LOOK = """
import json
from webapp.searches import history
from webapp.searches.models import Search
search = Search.objects.get()
rows = list(history.rows_of(search))
print(json.dumps({
    "state": search.state, "outcomes": [row.outcome for row in rows], "tests": [row.run.test for row in rows],
    "reasons": [row.run.job.reason for row in rows], "numbers": [row.number for row in rows],
    "rates": [row.run.config["optim"]["learning_rate"] for row in rows],
    "curves": [sorted(one.curve) for one in history.tried(search, rows)],
}))
"""


def look(product: Product) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(product.query(LOOK).strip().splitlines()[-1])
    return found


def test_a_search_outlives_its_worker_and_its_sweeper(tmp_path_factory: pytest.TempPathFactory) -> None:
    product = start_product(tmp_path_factory.mktemp("searching"))
    try:
        product.query(DRAW)
        ready = "SELECT 1 FROM datasets_datasetversion WHERE ready_at IS NOT NULL"
        wait_until(lambda: bool(product.rows(ready)), 120, "drawn faces are imported")
        product.query(SEARCH)
        begun = "SELECT 1 FROM jobs_job WHERE kind = 'train' AND state != 'queued'"
        wait_until(lambda: bool(product.rows(begun)), 120, "the first trial is begun")
        for name in ("reaper", "gpu"):
            os.kill(product.processes()[name], signal.SIGKILL)
        over = "SELECT 1 FROM searches_search WHERE state != 'going'"
        wait_until(lambda: bool(product.rows(over)), 240, "the search is over")
        found = look(product)
    finally:
        product.stop()
    assert found["state"] == "finished"
    assert found["numbers"] == [0, 1, 2]
    assert len(set(found["rates"])) == 3
    assert found["outcomes"][0] == "complete"
    assert set(found["outcomes"]) <= {"complete", "pruned"}
    assert found["tests"] == [{}, {}, {}]  # the test split stayed closed
    for outcome, curve, reason in zip(found["outcomes"], found["curves"], found["reasons"], strict=True):
        assert curve == list(range(1, len(curve) + 1))
        assert (len(curve) == 3) if outcome == "complete" else reason.startswith("Pruned after epoch")
