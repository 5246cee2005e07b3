"""The whole embedded product as a child of the tests, started as `make run` starts it."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(data_dir: Path, port: int, **more: str) -> dict[str, str]:
    """The product's environment, without what the tests set for themselves."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "MMFRM_", "COV_"))}
    return inherited | {"DATA_DIR": str(data_dir), "PORT": str(port), "HOST": "127.0.0.1"} | more


@dataclass
class Product:
    """A running supervisor, what it printed, and how to reach what it serves."""

    process: subprocess.Popen[str]
    data_dir: Path
    port: int
    env: Mapping[str, str]
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        """The sign-in link that was printed; it works once."""
        found = re.search(r"http://\S+", "\n".join(line for line in self.lines if "http://" in line))
        if found is None:
            raise AssertionError(f"no sign-in link was printed:\n{self.output}")
        return found.group()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def new_link(self) -> str:
        """Another one-use link of the first administrator."""
        return self.url + self.manage("sign_in_link").strip().splitlines()[-1]

    def manage(self, *arguments: str) -> str:
        """What a management command prints, run on the product's data."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=dict(self.env), capture_output=True, text=True, check=False,
            timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def query(self, code: str) -> str:
        """What a snippet prints, run in Django on the product's data."""
        return self.manage("shell", "--no-imports", "-c", code)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the product's database, read while it runs; much quicker than `query`."""
        with closing(sqlite3.connect(f"file:{self.data_dir}/db.sqlite3?mode=ro", uri=True)) as database:
            return database.execute(sql, values).fetchall()

    def processes(self) -> dict[str, int]:
        """Process ids by name (web, gpu, cpu, reaper, valkey), as the supervisor writes them down."""
        pairs = (line.split() for line in (self.data_dir / "run" / "pids").read_text().splitlines())
        return {name: int(pid) for name, pid in pairs}

    def stop(self, number: int = signal.SIGINT, patience: float = 60.0) -> int:
        """Send a signal and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(patience)


def start_product(data_dir: Path, *, patience: float = 180.0, **more: str) -> Product:
    """Start it and wait for the sign-in link. Raises AssertionError with its output where none comes."""
    port = int(more.pop("PORT", 0)) or free_port()
    env = environment(data_dir, port, **more)
    process = launch(env)
    product = Product(process, data_dir, port, env)
    threading.Thread(target=_collect, args=(process, product.lines), daemon=True).start()
    try:
        wait_until(lambda: "http://" in product.output or process.poll() is not None, patience)
        if process.poll() is not None:
            raise AssertionError(f"the product ended by itself ({process.returncode}):\n{product.output}")
    except BaseException:
        process.kill()
        raise
    return product


def launch(env: Mapping[str, str]) -> subprocess.Popen[str]:
    """`python -m workers up`, its output in one pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "workers", "up"], cwd=REPOSITORY, env=dict(env), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def wait_until(condition: Callable[[], bool], patience: float, what: str = "") -> float:
    """Wait for something to become true; returns the seconds it took, or raises AssertionError."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > patience:
            raise AssertionError(f"after {patience:.0f} s still not: {what or 'the condition'}")
        time.sleep(0.05)
    return time.monotonic() - start


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
