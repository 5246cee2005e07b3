"""When runs would start and end, given what the queue of trainings does and what waits in it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from webapp.experiments import estimating
from webapp.experiments.models import Run
from webapp.jobs.models import Job, Worker

CostOf = Callable[[Run], float | None]  # seconds of a whole run; None where nothing like it has run here


@dataclass(frozen=True)
class Forecast:
    """Of runs that are put at the queue's end now. None where a time before them is not known."""

    ahead: int  # runs that go on or wait before them
    unknown: int  # of those, how many have a time that is not known
    starts_in: float | None  # seconds, of the first
    ends_in: float | None  # seconds, of the last


def forecast(seconds: Sequence[float | None], workers: Sequence[Worker], cost_of: CostOf) -> Forecast:
    """Deal what goes on, what waits and then these runs out to the workers, as each comes free."""
    queue = Job.objects.filter(queue=Job.Queue.GPU).select_related("run__version__dataset")
    running = list(queue.filter(state__in=Job.ACTIVE, worker__in=[worker.name for worker in workers]))
    waiting = list(queue.filter(state=Job.State.QUEUED).order_by("position", "id"))
    left = [_left(job, cost_of) for job in running]
    before = [_whole(job, cost_of) for job in waiting]
    unknown = sum(time is None for time in (*left, *before))
    ahead = sum(job.kind != estimating.KIND for job in (*running, *waiting))
    if not workers:
        return Forecast(ahead, unknown, None, None)
    if unknown and len(workers) <= len(left) + len(before):
        return Forecast(ahead, unknown, None, None)
    # A worker whose time is not known never comes free, as far as one can tell.
    free = [float("inf") if time is None else time for time in left]
    free += [0.0] * (len(workers) - len(free))
    starts, ends = _dealt(free, before, seconds)
    return Forecast(ahead, unknown, starts, ends)


def _dealt(
    free: list[float], before: Sequence[float | None], ours: Sequence[float | None]
) -> tuple[float | None, float | None]:
    heapq.heapify(free)
    for time in before:
        heapq.heappush(free, heapq.heappop(free) + (float("inf") if time is None else time))
    starts, ends = free[0], 0.0
    for time in ours:
        end = heapq.heappop(free) + (float("inf") if time is None else time)
        heapq.heappush(free, end)
        ends = max(ends, end)
    return _known(starts), _known(ends)


def _known(time: float) -> float | None:
    return None if time == float("inf") else time


def _left(job: Job, cost_of: CostOf) -> float | None:
    """What a running one still needs: as it says itself, or all of it where it has said nothing yet."""
    return job.seconds_left if job.seconds_left is not None else _whole(job, cost_of)


def _whole(job: Job, cost_of: CostOf) -> float | None:
    if job.kind == estimating.KIND:
        return estimating.SECONDS
    run = getattr(job, "run", None)
    return cost_of(run) if run is not None else None
