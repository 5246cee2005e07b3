"""What pages show of steering: what waits and for what, and the marks on the charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmfrm.config import TrainConfig
from mmfrm.settings import replace
from webapp.experiments.models import Run, Steering
from webapp.experiments.steering import RATES
from webapp.jobs.models import Job

Do = Steering.Do
State = Job.State
SHORT = {Do.EXTEND: "{:+g}", Do.SCALE_RATE: "× {:g}", Do.SET_RATE: "rate {:g}", Do.STOP_AFTER: "stop"}
MOST_EPOCHS = 10_000  # that a run may begin with; an extension may lead beyond
LABEL = 18  # letters beside a line on a chart


@dataclass(frozen=True)
class Waiting:
    """An order that does not hold yet."""

    steering: Steering
    waits_for: str
    may_be_withdrawn: bool


def waiting(run: Run, job: Job) -> list[Waiting]:
    """Orders that are neither obeyed nor withdrawn, oldest first."""
    rows = run.steerings.filter(obeyed_at=None, withdrawn_at=None).exclude(do=Do.NOTE).select_related("by")
    return [Waiting(row, waits_for(row, job), row.do == Do.STOP_AFTER) for row in rows]


def waits_for(row: Steering, job: Job) -> str:
    """In words, when an order comes true: at the end of "Learning rate × 0.5: …"."""
    if job.state in (State.QUEUED, State.STARTING):
        start = "as soon as it starts"
    elif job.state == State.RUNNING:
        start = (
            "from the next step" if job.phase.startswith("training") else "from the next step that it learns"
        )
    else:
        start = "as soon as it is resumed"
    if row.do == Do.STOP_AFTER:
        return "when that epoch has ended" if job.state == State.RUNNING else f"{start} and has ended it"
    return start


def as_it_went(run: Run) -> TrainConfig:
    """Its settings with the epochs that it was extended to: what a clone begins with."""
    return replace(run.train_config, {"optim.epochs": min(run.epochs, MOST_EPOCHS)})


def told_to_a_clone(run: Run) -> list[str]:
    """What was ordered after its start, and whether a clone does it too, in words."""
    said = []
    if run.extended:
        begun = run.train_config.optim.epochs
        said.append(
            f"It was planned with {begun:,} epochs, and then with {run.epochs:,}: "
            f"here {as_it_went(run).optim.epochs:,} are planned from the start."
        )
    for row in run.steerings.filter(do__in=RATES, step__isnull=False):
        said.append(f"{row} from step {(row.step or 0) + 1:,} on, by {row.by}: a clone does not repeat this.")
    return said


def parts_of(job: Job) -> list[str]:
    """What can be ordered in the job's state."""
    parts = ["stop_after", "extend", "rate", "note"]
    if job.is_over or job.state == State.STOPPING:
        parts.remove("stop_after")
    if job.state == State.FINISHED:
        parts.remove("rate")
    return parts


def marks(run: Run) -> list[dict[str, Any]]:
    """Notes and what holds, as lines on the charts.

    `epoch` is on the axis of epochs, whose end is counted from 1; `step` on that of steps, None where the
    trainer has not said yet how many an epoch has.
    """
    steps = run.facts.get("steps_per_epoch")
    found = []
    for row in run.steerings.filter(withdrawn_at=None).select_related("by"):
        at_end = row.do in (Do.NOTE, Do.STOP_AFTER)
        if not steps or (row.obeyed_at is None and row.do != Do.NOTE):
            epoch = row.value + 1 if row.do == Do.NOTE else None
            step = None
        else:
            step = (row.value + 1) * steps if at_end else row.step or 0
            epoch = step / steps
        if epoch is not None:
            label = row.text[:LABEL] if row.do == Do.NOTE else SHORT[Do(row.do)].format(row.value)
            found.append(
                {
                    "epoch": epoch,
                    "step": step,
                    "label": label,
                    "text": f"{row} ({row.by})",
                    "is_note": row.do == Do.NOTE,
                }
            )
    return found
