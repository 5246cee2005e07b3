"""The embedded mode: a broker, the web process, two workers and the reaper under one supervising process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType

import psutil

from workers import checks
from workers.served import is_healthy
from workers.service import Recipe, Service
from workers.undertaker import bury, family

STOPPED, FAILED, WRONG_USAGE = 0, 1, 2  # exit codes
TICK = 0.1  # seconds between looks at the services
MOST_DEATHS_AT_START = 3  # of one service before anything was ever served
PATIENCE = 8.0  # seconds for services to end; a worker uses six of them to let its job save
TOO_LONG_TO_START = 120.0


def say(text: str) -> None:
    """A line for the person at the terminal, if there still is one."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def up() -> int:
    """Run the product until Ctrl-C or SIGTERM; returns the exit code."""
    try:
        place = checks.place_of(os.environ)
        checks.make_data_dir(place.data_dir)
        lock = checks.hold(place.data_dir, patience=15.0)
        checks.check_port(place)
        broker = checks.broker_binary()
    except checks.CannotStartError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    with lock:
        env = os.environ | {"DATA_DIR": str(place.data_dir), "MMFRM_MODE": "embedded"}
        return Supervisor(place, recipes(place, broker, env), env).run()


def recipes(place: checks.Place, broker: str, env: Mapping[str, str]) -> list[Recipe]:
    """The services, in the order in which they start."""
    os.environ.update(env)
    from webapp.settings import REDIS_SOCKET

    REDIS_SOCKET.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    python = [sys.executable, "-m"]
    return [
        Recipe(
            "broker",
            [
                broker, "--port", "0", "--unixsocket", str(REDIS_SOCKET), "--unixsocketperm", "700",
                "--save", "", "--appendonly", "no", "--dir", str(place.data_dir / "run"), "--daemonize", "no",
            ],
            stops_last=True,
        ),
        Recipe(
            "web",
            [
                *python, "uvicorn", "webapp.asgi:application",
                "--host", place.host, "--port", str(place.port),
                "--lifespan", "off", "--no-server-header", "--no-access-log",
                "--timeout-graceful-shutdown", "3",
                # Longer than people pause: what is sent just when an idle connection is closed is lost.
                "--timeout-keep-alive", "75",
            ],
        ),
        Recipe("gpu", [*python, "workers", "work", "gpu"]),
        Recipe("cpu", [*python, "workers", "work", "cpu"]),
        Recipe("reaper", [*python, "workers", "reaper"]),
    ]  # fmt: skip


class Supervisor:
    """Starts services, starts again what dies, and ends all of them."""

    def __init__(self, place: checks.Place, recipes: list[Recipe], env: Mapping[str, str]) -> None:
        self._place = place
        self._env = env
        self._logs = place.data_dir / "logs"
        self._services = [Service(recipe, logs=self._logs, env=env) for recipe in recipes]
        self._stop_requested = threading.Event()
        self._hurry = False
        self._asked_at = 0.0
        self._undertaker: subprocess.Popen[str] | None = None

    def run(self) -> int:
        """Until asked to stop; returns the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup wants it to outlive its terminal
                signal.signal(number, self._on_signal)
        begin = time.monotonic()
        try:
            self._call_undertaker()
            self._start(self._services[0])
            link = self._prepare()
            if link is None or not self._serve(begin):
                return STOPPED if self._stop_requested.is_set() else FAILED
            self._welcome(link, time.monotonic() - begin)
            while not self._stop_requested.wait(TICK):
                self._look_after()
            say("Stopping; a running training is saved and goes on at the next start ...")
            return STOPPED
        finally:
            self._stop_all()

    # --- start ---------------------------------------------------------------------------------------

    def _call_undertaker(self) -> None:
        command = [sys.executable, "-m", "workers", "undertaker", str(self._place.data_dir)]
        self._undertaker = subprocess.Popen(
            command, env=dict(self._env), stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        for service in self._services:
            self._tell_undertaker("watch", service.pid)

    def _tell_undertaker(self, word: str, pid: int | None) -> None:
        if pid is None or self._undertaker is None or self._undertaker.stdin is None:
            return
        try:
            self._undertaker.stdin.write(f"{word} {pid}\n")
            self._undertaker.stdin.flush()
        except OSError:
            pass  # it is dead: the next look calls another, and tells it of everybody

    def _start(self, service: Service) -> None:
        self._tell_undertaker("watch", service.start())
        self._note_pids()

    def _note_pids(self) -> None:
        """For people who look for a process. The product does not read it: a full disk stops nothing."""
        running = [f"{s.name} {s.pid}\n" for s in self._services if s.pid is not None]
        part = self._place.data_dir / "run" / "pids.part"
        try:
            part.write_text("".join(running))
            part.replace(part.with_name("pids"))
        except OSError as error:
            say(f"The numbers of the processes could not be noted: {error}")

    def _prepare(self) -> str | None:
        """Migrate and collect; returns the path of a sign-in link, None (after saying why) on failure."""
        command = [sys.executable, "-m", "workers", "prepare"]
        once = Service(Recipe("prepare", command), logs=self._logs, env=self._env)
        pid = once.start()
        self._tell_undertaker("watch", pid)
        while (how := once.death()) is None:
            if self._stop_requested.wait(TICK):
                once.signal()  # each migration is one transaction
        self._tell_undertaker("forget", pid)
        if how == "exit code 0":
            return once.last_words().splitlines()[-1]
        if not self._stop_requested.is_set():
            say(f"{once.last_words()}\nThe database or the static files could not be brought up to date.")
        return None

    def _serve(self, begin: float) -> bool:
        """Start everything and wait until pages are served; False, after saying why, if they never are."""
        for service in self._services[1:]:
            self._start(service)
        while not self._stop_requested.wait(TICK):
            self._look_after()
            for service in self._services:
                if service.deaths >= MOST_DEATHS_AT_START:
                    say(f"{service.name} does not start:\n{service.last_words()}")
                    return False
            if is_healthy(self._place.address):
                return True
            if time.monotonic() - begin > TOO_LONG_TO_START:
                say(f"No page was served within {TOO_LONG_TO_START:.0f} s; see {self._logs}.")
                return False
        return False

    def _welcome(self, link: str, seconds: float) -> None:
        say(
            f"mmfrm runs in embedded mode (started in {seconds:.1f} s); data and logs: {self._place.data_dir}"
        )
        say(f"Sign in, once, with this link: {self._place.address}{link}")
        say("Ctrl-C stops it.")

    # --- while it runs -------------------------------------------------------------------------------

    def _look_after(self) -> None:
        if self._undertaker is not None and self._undertaker.poll() is not None:
            self._call_undertaker()
        for service in self._services:
            pid = service.pid
            if (how := service.death()) is not None:
                self._tell_undertaker("forget", pid)
                again = f"starts again in {service.pause:.1f} s; see {service.log.path}"
                say(f"{service.name} ended ({how}) and {again}")
            if service.is_due():
                self._start(service)
            service.log.cut_if_long()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stop_requested.is_set():
            self._asked_at = time.monotonic()
            self._stop_requested.set()
        elif number == signal.SIGINT and time.monotonic() - self._asked_at > 1.0:
            self._hurry = True  # Ctrl-C again by a person, and not one that a wrapper passed on twice

    # --- stop ----------------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        """Ask all, wait, then end what is left with all that it started."""
        everybody = self._processes()
        everybody += family(everybody)
        first = [s for s in self._services if not s.recipe.stops_last]
        for service in first:
            service.signal(signal.SIGTERM)
        give_up_at = time.monotonic() + PATIENCE
        while any(s.is_running() for s in first) and time.monotonic() < give_up_at and not self._hurry:
            time.sleep(0.05)
        for service in self._services:
            service.signal(signal.SIGTERM)
        bury([p for p in everybody if p.is_running()], patience=0.5)
        self._dismiss_undertaker()

    def _processes(self) -> list[psutil.Process]:
        found = []
        for service in self._services:
            if service.is_running() and service.pid is not None:
                found.append(psutil.Process(service.pid))
        return found

    def _dismiss_undertaker(self) -> None:
        if self._undertaker is not None and self._undertaker.stdin is not None:
            for service in self._services:
                self._tell_undertaker("forget", service.pid)
            with contextlib.suppress(OSError):
                self._undertaker.stdin.close()
            self._undertaker.wait(5.0)
