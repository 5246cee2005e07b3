"""What differs between kinds of job. Each app registers its own when it is ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmfrm.events import Event, Finished, Stopped
from mmfrm.jobs import Job as JobFile

if TYPE_CHECKING:
    from webapp.accounts.models import Owned
    from webapp.jobs.models import Job


def _no_orders(job: Job) -> list[dict[str, Any]]:
    return []


def _is_the_end(job: Job, last: Finished | Stopped) -> bool:
    return False


def _state(job: Job) -> str:
    return job.get_state_display()


@dataclass(frozen=True)
class Kind:
    """A kind of job: how its row becomes a job.json, and what its events mean to its app."""

    name: str  # also mmfrm's name for it: train, predict, import, draw, evaluate
    queue: str
    subject: Callable[[Job], Owned]  # whose permissions and page the job has: a Run, a Dataset, a LabelBatch
    url: Callable[[Job], str]
    prepare: Callable[[Job], JobFile]  # called just before each start
    # Within the transaction that records it; must be idempotent. Progress is not among what it is given.
    on_event: Callable[[Job, Event], None]
    # What people ordered of it since it began: all that holds at present, as its child is told.
    orders: Callable[[Job], list[dict[str, Any]]] = field(default=_no_orders)
    # Within the transaction that ends it, finished or stopped on such an order. True: there is more to do.
    on_end: Callable[[Job, Finished | Stopped], bool] = field(default=_is_the_end)
    label: Callable[[Job], str] = field(default=_state)  # its state in one word, where the kind knows better


_kinds: dict[str, Kind] = {}
_listeners: dict[str, list[Callable[[Job, Event], None]]] = {}


def register(kind: Kind) -> None:
    """Make a kind known. A name can be taken once."""
    if kind.name in _kinds:
        raise ValueError(f"job kind {kind.name} is registered twice")
    _kinds[kind.name] = kind


def of(job: Job) -> Kind:
    """The kind of a job."""
    return _kinds[job.kind]


def listen(name: str, heard: Callable[[Job, Event], None]) -> None:
    """Have another app told of the events of a kind, after its own: as `on_event`, and as idempotent."""
    _listeners.setdefault(name, []).append(heard)


def tell(job: Job, event: Event) -> None:
    """Give an event to the job's kind and to whoever listens to it."""
    of(job).on_event(job, event)
    for heard in _listeners.get(job.kind, ()):
        heard(job, event)
