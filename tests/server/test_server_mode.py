"""The server mode's journey: the commands of docker-compose.yml, a real PostgreSQL, a real Redis."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.product import wait_until
from tests.server import compose
from tests.server.deployment import Deployment
from tests.server.machinery import Postgres, Redis
from tests.server.visitor import Visitor

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.xdist_group("product")]
PASSWORD = "correct horse battery staple"
QUICK = {"network.fusion": "none", "network.width": "0.25", "optim.batch_size": "32", "runtime.threads": "1"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    cluster = Postgres.create()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    server = Redis.create(compose.load()["services"]["redis"]["command"])
    yield server
    server.remove()


@pytest.fixture(scope="module")
def deployment(
    postgres: Postgres, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    started = Deployment(tmp_path_factory.mktemp("server"), postgres, redis)
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def visitor(deployment: Deployment) -> Visitor:
    """The first administrator, who came by the link and made a password."""
    path = deployment.manage("sign_in_link").strip().splitlines()[-1]
    someone = Visitor(deployment.url)
    assert "password" in someone.get(path)
    someone.post("/welcome", {"username": "ada", "name": "Ada", "password": PASSWORD, "again": PASSWORD})
    return someone


@pytest.fixture(scope="module")
def dataset(visitor: Visitor, drawn_zip: Path) -> str:
    """The path of a data set that was uploaded and imported."""
    upload = visitor.upload(drawn_zip)
    path = visitor.post("/datasets/new", {"upload": upload, "name": "Drawn", "layout": "auto"})
    wait_until(lambda: "/faces/" in visitor.get(path), 60, "the data set imported")
    return path


def events(deployment: Deployment, visitor: Visitor, job: int, until: str) -> list[dict[str, Any]]:
    """What the socket of a job sends until its state is `until`."""
    cookie = f"mmfrm_session={visitor.cookie('mmfrm_session')}"
    address = f"{deployment.url.replace('http', 'ws')}/ws/jobs/{job}/?after=0"
    found: list[dict[str, Any]] = []
    with connect(address, origin=Origin(deployment.url), additional_headers={"Cookie": cookie}) as socket:
        while True:
            message = json.loads(socket.recv(timeout=120))
            found += message["events"]
            assert message["job"]["state"] != "failed", message["job"]["reason"]
            if message["job"]["state"] == until:
                return found


def start_run(visitor: Visitor, dataset: str, epochs: int) -> tuple[str, int]:
    """A new run: its page's path and its job's number."""
    version = visitor.find(r'<option value="(\d+)"[^>]*>\s*Drawn', "/experiments/runs/new/?preset=quick-look")
    fields = {"preset": "quick-look", "version": version, "request_key": uuid.uuid4(), "optim.epochs": epochs}
    path = visitor.post("/experiments/runs/new/", fields | QUICK)
    return path, int(visitor.find(r'data-job="(\d+)"', path))


def test_every_page_of_the_frame_is_served_and_nothing_without_a_sign_in(visitor: Visitor) -> None:
    for path in ("/", "/datasets/", "/experiments/", "/models/", "/labeling/", "/jobs/", "/people/"):
        assert "<html" in visitor.get(path)
    stranger = Visitor(visitor.url)
    assert 'type="password"' in stranger.get("/datasets/")


def test_static_files_carry_hashes_and_are_kept_for_ever(visitor: Visitor) -> None:
    path = visitor.find(r'href="(/static/css/[^"]+\.css)"', "/")
    assert re.search(r"\.[0-9a-f]{12}\.css$", path)
    with visitor.ask("GET", path) as answer:
        assert "immutable" in answer.headers["Cache-Control"]


def test_an_uploaded_archive_becomes_a_data_set(visitor: Visitor, dataset: str) -> None:
    page = visitor.get(dataset)
    assert "210" in page
    assert "happiness" in page.lower()


def test_a_run_is_trained_watched_and_used_to_label(
    visitor: Visitor, dataset: str, deployment: Deployment, drawn_zip: Path
) -> None:
    run, job = start_run(visitor, dataset, epochs=2)
    seen = events(deployment, visitor, job, "finished")
    assert [event["epoch"] for event in seen if event["kind"] == "epoch"] == [0, 1]
    assert all(event["val"]["classes"] for event in seen if event["kind"] == "epoch")

    run_id = run.rstrip("/").rpartition("/")[2]
    batch = visitor.post("/labeling/new", {"upload": visitor.upload(drawn_zip), "model": f"run:{run_id}"})
    job = int(visitor.find(r'data-job="(\d+)"', batch))
    events(deployment, visitor, job, "finished")
    rows = list(csv.DictReader(io.StringIO(visitor.get(f"{batch}labels.csv"))))
    assert len(rows) == 210
    for row in rows:
        chances = [float(value) for name, value in row.items() if name.startswith("p_")]
        assert sum(chances) == pytest.approx(1.0, abs=1e-3)


def test_a_training_survives_a_crash_of_the_database(
    visitor: Visitor, dataset: str, deployment: Deployment, postgres: Postgres
) -> None:
    path, job = start_run(visitor, dataset, epochs=6)
    wait_until(lambda: len(epochs(deployment, job)) >= 1, 90, "an epoch")
    postgres.control("restart", mode="immediate")
    events(deployment, visitor, job, "finished")
    assert epochs(deployment, job) == dict.fromkeys(range(6), 1)
    assert "finished" in visitor.get(path).lower()


def test_a_worker_that_is_shut_down_hands_its_training_to_the_next(
    visitor: Visitor, dataset: str, deployment: Deployment
) -> None:
    _, job = start_run(visitor, dataset, epochs=8)
    # the last one before the end is told again by the next attempt
    wait_until(lambda: len(epochs(deployment, job)) >= 2, 120, "two epochs")
    deployment.processes["gpu-worker"].send_signal(signal.SIGTERM)
    assert deployment.processes["gpu-worker"].wait(30) == 0
    deployment.start_service("gpu-worker")
    events(deployment, visitor, job, "finished")
    attempt_of = epochs(deployment, job)
    assert list(attempt_of) == list(range(8))
    assert set(attempt_of.values()) == {1, 2}


def epochs(deployment: Deployment, job: int) -> dict[int, int]:
    """The stored epochs in the order in which a browser gets them, and the attempt that each is from."""
    code = (
        "import json; from webapp.jobs.models import JobEvent; "
        f"rows = JobEvent.objects.filter(job={job}, kind='epoch').order_by('seq'); "
        "print(json.dumps(list(rows.values_list('key', 'attempt'))))"
    )
    return dict(json.loads(deployment.manage("shell", "--no-imports", "-c", code)))
