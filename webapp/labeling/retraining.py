"""What a training that began with a model was worth: both on the test faces of the run's data set.

Measured by a job of its own when such a run on corrected faces ends, or when somebody asks for it.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from mmfrm.events import Event, Finished
from mmfrm.jobs import CompareJob
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.experiments import training
from webapp.experiments.models import Run
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling.models import BeforeAfter, MadeDataset

KIND = "compare"
SPLIT = "test"
FIGURES = {
    "accuracy": "Accuracy",
    "mean_class_accuracy": "Mean-class accuracy",
    "macro_f1": "Macro-F1",
}


@transaction.atomic
def measure(user: User, run: Run) -> BeforeAfter:
    """Queue the comparison of a run with what it began with, or answer the one that is there.

    One that failed or was stopped is begun anew. Raises RefusedError where there is nothing to compare.
    """
    run = Run.objects.select_for_update().select_related("version__dataset").get(pk=run.pk)
    why = obstacle(run)
    if why:
        raise RefusedError(why)
    there = BeforeAfter.objects.select_related("job").filter(run=run).first()
    if there is not None and there.job.state not in (Job.State.FAILED, Job.State.STOPPED):
        return there
    if there is not None:
        there.delete()
    job = jobs.create(kind=KIND, queue=Job.Queue.CPU, owner=user, title=f"Before and after {run.name}")
    return BeforeAfter.objects.create(run=run, job=job)


def obstacle(run: Run) -> str:
    """Why a run cannot be compared with what it began with, for people; "" where it can."""
    if not run.start_from:
        return "This run began from scratch: there is no model before it."
    if SPLIT not in run.version.counts:
        return f"{run.version} has no test split. Carve one, and train on that version."
    if training.weights_of(run) is None:
        return "The run has no weights yet."
    return ""


def on_training_event(job: Job, event: Event) -> None:
    """When a run on corrected faces ends that began with a model, measure what it was worth."""
    if not isinstance(event, Finished):
        return
    run = Run.objects.select_related("version__dataset", "owner").get(job=job)
    if MadeDataset.objects.filter(version=run.version).exists() and not obstacle(run):
        measure(run.owner, run)


def prepare(job: Job) -> CompareJob:
    """The comparison as its child reads it. Raises ConfigError where the weights before are gone."""
    row = BeforeAfter.objects.select_related("run__version__dataset").get(job=job)
    after = training.weights_of(row.run)
    if after is None:
        raise RefusedError("The weights of the run are gone.")
    rule = row.run.train_config.data.label_rule
    return CompareJob(
        before=training.start_path(row.run.start_from),
        after=str(after),
        data=str(row.run.version.folder),
        split=SPLIT,
        label_rule="argmax" if rule == "argmax" else "majority",  # soft votes are tested by majority
    )


def on_event(job: Job, event: Event) -> None:
    """Keep the comparison in the row: it is what the page tells."""
    if isinstance(event, Finished):
        row = BeforeAfter.objects.get(job=job)
        row.report = json.loads((row.folder / "comparison.json").read_text())
        row.save(update_fields=["report"])


def forget(instance: BeforeAfter, **_: Any) -> None:
    """The job and the folder of a comparison go when it goes, also when its run is deleted."""
    folder = instance.folder
    Job.objects.filter(pk=instance.job_id).delete()
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


# --- in words ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A figure before and after, shares within 0…1."""

    before: float | None
    after: float | None
    low: float | None
    high: float | None
    p: float | None = None
    gained: int = 0
    lost: int = 0

    @classmethod
    def of(cls, figure: dict[str, Any]) -> Change:
        """From a figure of comparison.json."""
        return cls(**{name: value for name, value in figure.items() if name != "difference"})

    @property
    def points(self) -> str:
        """The difference in points of a hundred, with its sign."""
        return "–" if self.before is None or self.after is None else _signed(self.after - self.before)

    @property
    def interval(self) -> str:
        """Its 95 % interval."""
        return "" if self.low is None or self.high is None else f"{_signed(self.low)} to {_signed(self.high)}"

    @property
    def verdict(self) -> str:
        """better or worse where the interval leaves out zero, else "even"."""
        if self.low is not None and self.low > 0:
            return "better"
        return "worse" if self.high is not None and self.high < 0 else "even"


@dataclass(frozen=True)
class ClassChange:
    """One expression before and after."""

    name: str
    count: int
    recall: Change
    precision: Change
    f1: Change


def overall(report: dict[str, Any]) -> list[tuple[str, Change]]:
    """The headline figures with their titles."""
    return [(title, Change.of(report["overall"][name])) for name, title in FIGURES.items()]


def by_class(report: dict[str, Any]) -> list[ClassChange]:
    """Expression by expression."""
    return [
        ClassChange(
            name=row["name"], count=row["count"], recall=Change.of(row["recall"]),
            precision=Change.of(row["precision"]), f1=Change.of(row["f1"]),
        )
        for row in report["classes"]
    ]  # fmt: skip


def confusions(report: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Key, title and what the chart draws, for both sides."""
    names = [row["name"] for row in report["classes"]]
    found = []
    for side in ("before", "after"):
        matrix = report["confusion"][side]
        answers = names if len(matrix[0]) == len(names) else [*names, "another"]
        chart = {"classes": names, "answers": answers, "confusion": matrix}
        found.append((f"confusion-{side}", side.title(), chart))
    return found


def _signed(share: float) -> str:
    points = f"{100 * share:+.1f}".replace("-", "−")
    return "0.0" if points[1:] == "0.0" else points
