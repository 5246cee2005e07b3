"""Long calls that report by callback, inside jobs that report by yielding. No torch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Protocol, TypeVar

from mmfrm.events import Event

T_co = TypeVar("T_co", covariant=True)


class Reporting(Protocol[T_co]):
    """A call that tells events while it works."""

    def __call__(self, *, progress: Callable[[Event], None]) -> T_co: ...


def meanwhile(call: Reporting[T_co]) -> Generator[Event, None, T_co]:
    """Do a call in a thread, yield what it tells, and return (or raise) what it does."""
    told: SimpleQueue[Event | None] = SimpleQueue()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call, progress=told.put)
        future.add_done_callback(lambda _: told.put(None))
        while (event := told.get()) is not None:
            yield event
    return future.result()
