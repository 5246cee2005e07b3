"""The embedded product under its supervising process, started for real."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.product import Product, environment, free_port, launch, start_product, wait_until
from tests.server.visitor import TUS, Visitor
from workers.checks import make_data_dir
from workers.served import is_healthy
from workers.service import LONGEST_PAUSE, Recipe, Service

TUS_NAME = base64.b64encode(b"faces.zip").decode()
OPEN: list[socket.socket] = []
pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.slow]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    started = start_product(tmp_path_factory.mktemp("supervised"))
    yield started
    started.stop()


def refusal(data_dir: Path, **more: str) -> str:
    """What a product that cannot start says; it must say it in one line and exit with 2."""
    env = environment(data_dir, free_port()) | more
    process = launch(env)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 2, told
    assert len(told.strip().splitlines()) == 1, told
    return told


# --- starting -------------------------------------------------------------------------------------


def test_the_link_that_is_printed_signs_in_once(product: Product) -> None:
    def follow() -> str:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with opener.open(product.link) as first:
            return str(first.url)

    assert "sign-in" not in follow().replace("/sign-in/password", "")
    try:
        again = follow()
    except urllib.error.HTTPError as error:
        again = f"sign-in refused with {error.code}"
    assert "sign-in" in again


def test_mode_address_and_data_folder_are_printed(product: Product) -> None:
    assert "embedded mode" in product.output
    assert product.url in product.output
    assert str(product.data_dir) in product.output


def test_all_services_run_and_write_their_own_logs(product: Product) -> None:
    assert set(product.processes()) == {"broker", "web", "gpu", "cpu", "reaper"}
    for name, pid in product.processes().items():
        assert psutil.Process(pid).is_running()
        assert (product.data_dir / "logs" / f"{name}.log").exists()


def test_workers_are_seen_on_the_page_of_facts(product: Product) -> None:
    code = "from webapp.jobs.selectors import live_workers; print(sorted(w.queue for w in live_workers()))"
    wait_until(lambda: "['cpu', 'gpu', 'reaper']" in product.query(code), 120, "three workers seen")


def test_the_broker_listens_on_no_network_port(product: Product) -> None:
    broker = psutil.Process(product.processes()["broker"])
    assert broker.net_connections("inet") == []
    assert (product.data_dir / "run").stat().st_mode & 0o077 == 0


def test_no_process_has_loaded_torch(product: Product) -> None:
    for name, pid in product.processes().items():
        libraries = {Path(part.path).name for part in psutil.Process(pid).memory_maps()}
        assert not any(library.startswith("libtorch") for library in libraries), name


# --- refusing to start -----------------------------------------------------------------------------


def test_a_second_instance_on_the_same_data_folder_is_refused(product: Product) -> None:
    assert f"process {product.process.pid}" in refusal(product.data_dir)


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert port in refusal(tmp_path, PORT=port)


@pytest.mark.parametrize("port", ["http", "0", "70000"])
def test_a_port_that_is_none_is_refused(port: str, tmp_path: Path) -> None:
    assert "PORT" in refusal(tmp_path, PORT=port)


def test_a_foreign_address_is_refused(tmp_path: Path) -> None:
    assert "192.0.2.1" in refusal(tmp_path, HOST="192.0.2.1")


def test_a_data_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "DATA_DIR" in refusal(tmp_path / "file" / "data")


def test_a_new_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    make_data_dir(tmp_path / "faces")
    assert (tmp_path / "faces").stat().st_mode & 0o077 == 0


def test_the_server_mode_is_not_started_by_the_embedded_command(tmp_path: Path) -> None:
    assert "docker-compose.yml" in refusal(tmp_path, MMFRM_MODE="server")


# --- starting again ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["web", "broker", "reaper", "cpu"])
def test_a_killed_service_comes_back(product: Product, name: str) -> None:
    kill_and_await(product, name)
    wait_until(lambda: f"{name} ended (killed by SIGKILL" in product.output, 60, "a line that says so")


def kill_and_await(product: Product, name: str) -> None:
    """Kill a service; go on once another one is there and pages are served."""
    before = product.processes()[name]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: product.processes().get(name, before) != before, 60, f"another {name}")
    wait_until(lambda: is_healthy(product.url), 60, "pages again")


def test_an_upload_arrives_whole_though_the_web_process_is_killed_in_the_middle(product: Product) -> None:
    data = random.Random(5).randbytes(6_000_000)
    visitor = Visitor(product.url)
    visitor.get(product.new_link().removeprefix(product.url))
    begin = TUS | {"Upload-Length": str(len(data)), "Upload-Metadata": f"filename {TUS_NAME}"}
    with visitor.ask("POST", "/uploads/", b"", begin) as answer:
        location = urllib.parse.urlsplit(answer.headers["Location"]).path
    stored = product.data_dir / "uploads" / location.rpartition("/")[2].replace("-", "")
    offsets = [0]
    for share in (0.3, 0.7):
        send_a_part(visitor, location, offsets[-1], data, upto=int(share * len(data)))
        wait_until(lambda: stored.stat().st_size > offsets[-1], 60, "bytes")
        kill_and_await(product, "web")
        with visitor.ask("HEAD", location, None, TUS) as answer:
            offsets.append(int(answer.headers["Upload-Offset"]))
    assert 0 < offsets[1] < offsets[2] < len(data)
    piece = TUS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offsets[-1])}
    visitor.ask("PATCH", location, data[offsets[-1] :], piece).close()
    assert hashlib.sha256(stored.read_bytes()).digest() == hashlib.sha256(data).digest()


def send_a_part(visitor: Visitor, location: str, offset: int, data: bytes, *, upto: int) -> None:
    """A PATCH that announces all the rest and sends bytes as far as `upto`; its connection stays open."""
    host, _, port = visitor.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    cookies = "; ".join(f"{name}={visitor.cookie(name)}" for name in ("mmfrm_session", "mmfrm_csrf"))
    lines = [
        f"PATCH {location} HTTP/1.1", f"Host: {host}:{port}", "Tus-Resumable: 1.0.0", f"Cookie: {cookies}",
        f"X-CSRFToken: {visitor.cookie('mmfrm_csrf')}", f"Upload-Offset: {offset}",
        "Content-Type: application/offset+octet-stream", f"Content-Length: {len(data) - offset}", "", "",
    ]  # fmt: skip
    connection.sendall("\r\n".join(lines).encode() + data[offset:upto])
    OPEN.append(connection)  # a connection that is collected would be a cut one


def test_jobs_are_done_after_all_of_that(product: Product) -> None:
    """The workers have found the new broker, and the broker the workers."""
    product.query(
        "from webapp.accounts.models import User; from webapp.datasets.services import draw; "
        "draw(User.objects.get(), count=60, seed=2)"
    )
    state = "SELECT state FROM jobs_job WHERE kind = 'draw'"
    wait_until(lambda: product.rows(state) == [("finished",)], 180, "faces drawn")


def test_a_service_that_keeps_dying_is_started_less_and_less_often(tmp_path: Path) -> None:
    now = 0.0
    service = Service(Recipe("flaky", ["false"]), logs=tmp_path, env=dict(os.environ), clock=lambda: now)
    pauses = []
    for _ in range(8):
        service.start()
        while service.death() is None:
            time.sleep(0.01)
        pauses.append(service.pause)
        assert not service.is_due()
        now += service.pause
        assert service.is_due()
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == LONGEST_PAUSE


def test_a_service_that_lived_long_starts_again_at_once(tmp_path: Path) -> None:
    now = 0.0
    service = Service(Recipe("old", ["false"]), logs=tmp_path, env=dict(os.environ), clock=lambda: now)
    service.deaths = 6
    pid = service.start()
    wait_until(lambda: not psutil.pid_exists(pid) or not service.is_running(), 60)
    now = 3600.0
    assert service.death() == "exit code 1"
    assert service.pause == 0.5


def test_a_service_whose_log_cannot_be_opened_starts_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "mute.log").mkdir()  # stands for a disk on which not even an empty file can be made
    service = Service(Recipe("mute", ["sh", "-c", "echo hello"]), logs=tmp_path, env=dict(os.environ))
    service.start()
    wait_until(lambda: service.death() == "exit code 0", 60)


# --- ending ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_process_within_ten_seconds(tmp_path: Path, number: int) -> None:
    product = start_product(tmp_path)
    everybody = psutil.Process(product.process.pid).children(recursive=True)
    assert len(everybody) >= 6
    with watching(product):  # an open page must not hold it up
        asked_at = time.monotonic()
        assert product.stop(number) == 0
        assert time.monotonic() - asked_at < 10
    # The last of them are killed, and whoever inherits them has to see that.
    wait_until(lambda: not any(process.is_running() for process in everybody), 10, "all of them gone")


@contextmanager
def watching(product: Product) -> Iterator[None]:
    """The socket that every signed-in page holds open."""
    someone = Visitor(product.url)
    someone.get(product.link.removeprefix(product.url))
    cookie = f"mmfrm_session={someone.cookie('mmfrm_session')}"
    address = f"{product.url.replace('http', 'ws')}/ws/jobs/"
    with connect(address, origin=Origin(product.url), additional_headers={"Cookie": cookie}) as socket:
        assert "changed" in str(socket.recv(timeout=60))
        yield


def test_ctrl_c_while_it_starts_ends_it_as_well(tmp_path: Path) -> None:
    process = launch(environment(tmp_path, free_port()))
    wait_until((tmp_path / "logs" / "prepare.log").exists, 60, "the preparation begun")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    asked_at = time.monotonic()
    assert process.wait(15) == 0
    assert time.monotonic() - asked_at < 10
    assert not (tmp_path / "run" / "valkey.sock").exists()


def test_a_killed_supervisor_takes_everything_with_it_and_the_next_start_works(tmp_path: Path) -> None:
    product = start_product(tmp_path)
    everybody = psutil.Process(product.process.pid).children(recursive=True)
    product.process.kill()
    again = start_product(tmp_path, PORT=str(product.port))
    try:
        assert [process for process in everybody if process.is_running()] == []
        assert is_healthy(again.url)
    finally:
        again.stop()


def test_the_second_start_takes_seconds_and_finds_everything(tmp_path: Path) -> None:
    begin = time.monotonic()
    first = start_product(tmp_path)
    seconds_of_first = time.monotonic() - begin
    key = (tmp_path / "secret.key").read_text()
    first.stop()
    begin = time.monotonic()
    second = start_product(tmp_path)
    seconds = time.monotonic() - begin
    people = second.query("from webapp.accounts.models import User; print(User.objects.count())")
    second.stop()
    assert seconds < max(20, seconds_of_first)  # which also made the database
    assert people.strip() == "1"
    assert (tmp_path / "secret.key").read_text() == key


def test_an_older_python_is_told_so_in_one_line() -> None:
    """The module that says it must be readable to a Python that is too old."""
    code = (
        "import sys; sys.version_info = (3, 9, 1, 'final', 0); sys.version = '3.9.1 (old)'\n"
        "from workers.__main__ import main; sys.exit(main(['up']))"
    )
    done = subprocess.run(["python3", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed; this is 3.9." in done.stderr
