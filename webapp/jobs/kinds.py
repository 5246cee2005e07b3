"""What differs between kinds of job. Each app registers its own when it is ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmfrm.events import Event
from mmfrm.jobs import Job as JobFile

if TYPE_CHECKING:
    from webapp.accounts.models import Owned
    from webapp.jobs.models import Job


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


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Make a kind known. A name can be taken once."""
    if kind.name in _kinds:
        raise ValueError(f"job kind {kind.name} is registered twice")
    _kinds[kind.name] = kind


def of(job: Job) -> Kind:
    """The kind of a job."""
    return _kinds[job.kind]
