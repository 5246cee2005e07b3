"""A real PostgreSQL and a real Redis, on ports of their own, gone when the tests are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.product import free_port, wait_until

PASSWORD = "only-for-this-test"


@dataclass
class Postgres:
    """A database cluster in a temporary folder, owned by whoever may run PostgreSQL."""

    binaries: Path
    folder: Path
    port: int

    @classmethod
    def create(cls) -> Postgres:
        """Make and start one. Skips where PostgreSQL is not installed."""
        binaries = find_binaries()
        if binaries is None:
            pytest.skip("no PostgreSQL server: install one (apt install postgresql; brew install postgresql)")
        folder = Path(tempfile.mkdtemp(prefix="mmfrm-postgres-"))  # not below a folder of root's alone
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        cluster = cls(binaries, folder, free_port())
        (folder / "password").write_text(PASSWORD)
        cluster.run(
            "initdb", "--pgdata", str(folder / "data"), "--username", "mmfrm", "--auth", "scram-sha-256",
            "--pwfile", str(folder / "password"), "--encoding", "UTF8", "--no-sync",
        )  # fmt: skip
        cluster.control("start")
        cluster.run(
            "createdb", "--host", "127.0.0.1", "--port", str(cluster.port), "--username", "mmfrm", "mmfrm"
        )
        return cluster

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as somebody who may."""
        as_other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*as_other, str(self.binaries / program), *arguments]
        env = os.environ | {"PGPASSWORD": PASSWORD}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def control(self, action: str, *, mode: str = "fast") -> None:
        """start, stop or restart; mode immediate is a crash."""
        address = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        settings = f"{address} -c fsync=off"
        more = [] if action == "stop" else ["--options", settings]
        more += [] if action == "start" else ["--mode", mode]
        log = str(self.folder / "log")
        self.run("pg_ctl", action, "--pgdata", str(self.folder / "data"), "--log", log, "--wait", *more)

    def remove(self) -> None:
        """Stop it and delete everything."""
        self.control("stop", mode="immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


def find_binaries() -> Path | None:
    """The folder of initdb and pg_ctl: Debian keeps them off the path."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found := shutil.which("initdb"):
        candidates.insert(0, Path(found).resolve().parent)
    return next((path for path in reversed(candidates) if (path / "initdb").exists()), None)


@dataclass
class Redis:
    """A Redis server that keeps nothing."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def create(cls, command: list[str]) -> Redis:
        """Start the command of docker-compose.yml on a free port. Skips where Redis is not installed."""
        if shutil.which(command[0]) is None:
            pytest.skip("no Redis server: install one (apt install redis-server; brew install redis)")
        port = free_port()
        process = subprocess.Popen(
            [*command, "--port", str(port), "--bind", "127.0.0.1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.2)
        wait_until(lambda: process.poll() is None, 1, "Redis")
        return cls(process, port)

    def remove(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)
