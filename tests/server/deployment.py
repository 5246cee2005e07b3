"""The services of docker-compose.yml, started as processes by the very commands that stand there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from tests.product import REPOSITORY, free_port, wait_until
from tests.server import compose
from tests.server.machinery import PASSWORD, Postgres, Redis

LASTING = ("web", "gpu-worker", "cpu-worker", "reaper")


class Deployment:
    """What `docker compose up` would start, on this machine's own ports and in one folder."""

    def __init__(self, folder: Path, postgres: Postgres, redis: Redis) -> None:
        self.port = free_port()
        self.folder = folder
        given = {
            "POSTGRES_PASSWORD": PASSWORD,
            "SECRET_KEY": "only-for-this-test-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789",
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS": "false",  # there is no proxy here
        }
        self._services = compose.services(given)
        self._moved = {
            "@postgres:5432": f"@127.0.0.1:{postgres.port}",
            "//redis:6379": f"//127.0.0.1:{redis.port}",
            "/data": str(folder / "data"),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, name: str) -> dict[str, str]:
        """The service's own environment, with the addresses inside the containers' network moved here."""
        env = {key: self._here(str(value)) for key, value in self._services[name]["environment"].items()}
        if name == "web":
            env |= {"UVICORN_HOST": "127.0.0.1", "UVICORN_PORT": str(self.port)}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return env | {"PATH": path, "HOME": str(self.folder), "OMP_NUM_THREADS": "1"}

    def _here(self, value: str) -> str:
        for inside, here in self._moved.items():
            if inside != "/data" or PurePosixPath(value).is_relative_to(inside):
                value = value.replace(inside, here)
        return value

    def start(self) -> None:
        """Migrate, start the lasting services, wait until their own healthchecks succeed."""
        (self.folder / "data").mkdir()
        done = self._run("migrate", self._services["migrate"]["command"])
        assert done.returncode == 0, done.stdout
        for name in LASTING:
            self.start_service(name)
        for name in LASTING:
            wait_until(lambda name=name: self.is_healthy(name), 60, f"{name} healthy")  # type: ignore[misc]

    def start_service(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self._services[name]["command"], cwd=REPOSITORY, env=self.environment(name),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def is_healthy(self, name: str) -> bool:
        """What the service's healthcheck says."""
        assert self.processes[name].poll() is None, (self.folder / f"{name}.log").read_text()[-3000:]
        kind, *command = self._services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self._run(name, command).returncode == 0

    def manage(self, *arguments: str) -> str:
        """`docker compose exec web python manage.py …`"""
        done = self._run("web", ["python", "manage.py", *arguments])
        assert done.returncode == 0, done.stdout
        return done.stdout

    def _run(self, name: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=REPOSITORY, env=self.environment(name), text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def stop(self) -> dict[str, Any]:
        """End all as `docker compose down` does; returns the exit codes."""
        for process in self.processes.values():
            process.terminate()
        return {name: process.wait(60) for name, process in self.processes.items()}
