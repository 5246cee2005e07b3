"""One attempt at a job: start its process, record what it says, keep the row alive, pass on wishes."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

from mmfrm.events import Event, Failed, Finished, Stopped
from mmfrm.failures import explain
from webapp.jobs import services
from webapp.jobs.models import Job
from workers import hardware
from workers.backlog import Backlog
from workers.child import Child
from workers.heartbeat import beating
from workers.patience import AWAY, GaveUpError, insist
from workers.shares import NICENESS, environment_of

log = logging.getLogger(__name__)
State = Job.State
TICK = 0.1  # seconds between looks at the child
LINGER = 15.0  # seconds a child may take to exit after its last event
TAKEN_AWAY = "another attempt has the job"


def command_of(folder: Path) -> list[str]:
    """The process of a job folder; the same command works from a shell."""
    return [sys.executable, "-m", "mmfrm", "run", str(folder), "--events", "json"]


def run(
    job: Job,
    *,
    host: str,
    leaving: threading.Event,
    command: Callable[[Path], Sequence[str]] = command_of,
) -> None:
    """Do a claimed job to its end, or until `leaving` is set, and say in the row how it ended."""
    try:
        with beating(job):
            folder = insist(lambda: services.prepare(job), give_up=leaving.is_set)
            env = insist(lambda: environment_of(job, host), give_up=leaving.is_set)
        child = Child(command(folder), folder=folder, env=env, niceness=NICENESS.get(job.queue, 0))
    except GaveUpError:
        return  # the reaper puts it back when the database is there again
    except Exception as error:
        log.exception("job %s cannot be started", job.pk)
        failed = Failed(message=f"The job could not be started: {error}", resumable=True)
        insist(lambda: services.end(job, last=failed, exit_status=""), give_up=leaving.is_set)
        return
    Attempt(job, child, Backlog(folder), leaving).see_through()


def _not_kept(error: Exception) -> Failed:
    """How a job ends that did its work, of which the database knows nothing: it can be tried again."""
    return Failed(message=f"Its result could not be kept. {explain(error).message}", resumable=True)


class Attempt:
    """A child at work on a row."""

    def __init__(self, job: Job, child: Child, backlog: Backlog, leaving: threading.Event) -> None:
        self.job = job
        self.child = child
        self._backlog = backlog
        self._leaving = leaving
        self._last: Event | None = None  # the terminal event, once said
        self._last_at = 0.0
        self._asked_at: float | None = None
        self._told: list[dict[str, Any]] = []  # orders
        self._terminated = False
        self._taken_away = False
        self._over = threading.Event()

    def see_through(self) -> None:
        """Relay events until the child is gone, then say how it ended."""
        self.child.log.write(f"--- attempt {self.job.attempt}, {self.job.worker}, process {self.child.pid}")
        watch = threading.Thread(target=self._watch, name=f"watch {self.job.pk}", daemon=True)
        watch.start()
        gauge = self._gauge()
        try:
            self._relay()
            status = self.child.wait()
            if not self._taken_away:
                self._end(status)
        except GaveUpError:
            log.warning("job %s: the database is away; the reaper will put it back", self.job.pk)
        finally:
            self.child.kill()
            self._over.set()
            watch.join()
            if gauge is not None:
                gauge.join()

    def _gauge(self) -> threading.Thread | None:
        """Trainings go on for hours; of what takes minutes nobody asks what it did to the machine."""
        if self.job.queue != Job.Queue.GPU:
            return None
        return hardware.watch(self.job, self.child.pid, self._over)

    # --- what the child says ---------------------------------------------------------------------

    def _relay(self) -> None:
        is_first = True
        for event, line in self.child.events():
            if is_first:
                for missed in self._backlog.before(line):
                    self._record(missed)
                is_first = False
            if isinstance(event, Finished | Failed | Stopped):
                self._last, self._last_at = event, time.monotonic()
            if isinstance(event, Failed) and event.detail:
                self.child.log.write(event.detail)
            self._record(event)
            if not self._taken_away:  # else the next attempt's worker has it to record
                self._backlog.recorded(line)

    def _record(self, event: Event) -> None:
        """Into the database, however long that takes; an event that its app chokes on is logged."""
        if self._taken_away:
            return
        try:
            is_ours = insist(lambda: services.record(self.job, event), give_up=self._must_leave_now)
        except GaveUpError:
            raise
        except Exception as error:
            log.exception("job %s: %s could not be recorded", self.job.pk, event.kind)
            self.child.log.write(f"a {event.kind} event could not be recorded: {error}")
            if isinstance(event, Finished):
                self._last = _not_kept(error)
            return
        if not is_ours:
            self._give_way()

    def _end(self, status: str) -> None:
        last = self._last
        has_answered = isinstance(last, Finished | Failed) or (isinstance(last, Stopped) and last.on_order)
        if self._leaving.is_set() and not has_answered:
            last = Stopped(reason="Its worker was shut down.")  # ours to answer for: not a loss
        words = self.child.last_words()
        told = f"{status}; its last words:\n{words}" if words else status
        insist(lambda: services.end(self.job, last=last, exit_status=told), give_up=self._must_leave_now)

    # --- what is wished of the child ---------------------------------------------------------------

    def _watch(self) -> None:
        """Heartbeat, wishes to stop, and an end to children that do not end themselves."""
        beat_at = 0.0
        try:
            while not self._over.wait(TICK):
                now = time.monotonic()
                if now >= beat_at:
                    beat_at = now + settings.JOB_HEARTBEAT_SECONDS
                    self._beat()
                self._see_to_the_end(now)
        finally:
            connections.close_all()  # this thread's

    def _see_to_the_end(self, now: float) -> None:
        if self._leaving.is_set():
            self._urge(now, settings.WORKER_LEAVE_SECONDS)
        elif self._asked_at is not None:
            self._urge(now, settings.JOB_GRACE_SECONDS)
        if self._last is not None and now - self._last_at > LINGER:
            self.child.kill()
        if not self.child.is_alive():
            self.child.kill()  # its own children, which would keep its standard output open

    def _beat(self) -> None:
        try:
            self.child.log.cut_if_long()  # never raises: without a heartbeat the job would be taken away
            state = services.heartbeat(self.job)
            self._steer()
        except AWAY as error:
            log.warning("job %s: no heartbeat (%s)", self.job.pk, str(error).strip())
            connections.close_all()
            return
        except Exception:  # whatever it is, the next beat must come
            log.exception("job %s: no heartbeat", self.job.pk)
            return
        if state is None and self._last is None:
            self._give_way()
        elif state in (State.PAUSING, State.STOPPING) and self._asked_at is None:
            self._ask(time.monotonic())

    def _steer(self) -> None:
        """Pass on what people ordered since the last beat. The child acts only on what is new to it."""
        orders = services.orders(self.job)
        if orders != self._told:
            self._told = orders
            self.child.steer(orders)

    def _ask(self, now: float) -> None:
        self._asked_at = now
        self.child.ask_to_stop()

    def _urge(self, now: float, grace: float) -> None:
        """Ask by command; after half the grace by signal; after all of it end the child."""
        if self._asked_at is None:
            self._ask(now)
        waited = now - (self._asked_at or now)
        if waited > grace:
            self.child.kill()
        elif waited > grace / 2 and not self._terminated:
            self._terminated = True
            self.child.terminate()

    def _give_way(self) -> None:
        if not self._taken_away:
            log.warning("job %s: %s; its process is ended", self.job.pk, TAKEN_AWAY)
            self._taken_away = True
            self.child.kill()

    def _must_leave_now(self) -> bool:
        return self._leaving.is_set() and not self.child.is_alive()
