"""What a training means to its run: how it becomes a job file, and what its events leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmfrm.events import EpochEnd, Evaluated, Event, Started, Steered
from mmfrm.jobs import TrainJob
from mmfrm.schema import ConfigError
from webapp.experiments import steering
from webapp.experiments.models import Run
from webapp.jobs.models import Job, JobEvent
from webapp.registry.models import Model


def prepare(job: Job) -> TrainJob:
    """The run as its child reads it."""
    run = job.run
    return TrainJob(
        data=str(run.version.folder),
        config=run.train_config,
        start_from=start_path(run.start_from),
        steering=steering.orders_of(job),
        open_test=run.opens_test,
    )


def on_event(job: Job, event: Event) -> None:
    """Keep what the lists and the run's page show first. Saying an event again changes nothing."""
    runs = Run.objects.filter(job=job)
    match event:
        case Started():
            runs.update(facts=event.payload()["facts"])
        case EpochEnd(best=True):
            runs.update(best=_best(event.payload()))
        case EpochEnd():
            _forget_best_after(job, event.epoch)
        case Evaluated(split="test"):
            runs.update(test=event.payload()["figures"])
        case Steered():
            steering.obeyed(job, event)
        case _:
            pass


def label(job: Job) -> str:
    """The state of its job in one word: a trial that its search stopped was pruned."""
    if job.state == Job.State.STOPPED:
        trial = getattr(getattr(job, "run", None), "trial", None)  # the look book has jobs of no run
        if trial is not None and trial.pruned_after is not None:
            return "Pruned"
    return job.get_state_display()


def weights_of(run: Run) -> Path | None:
    """The folder of the run's best weights; None before its first epoch has ended."""
    path = run.folder / "model"
    return path if (path / "model.json").is_file() else None


def start_path(start: dict[str, Any]) -> str:
    """Where the weights to begin with lie now. Raises ConfigError when they are gone."""
    if not start:
        return ""
    if start["kind"] == "model":
        model = Model.objects.filter(pk=start["id"]).first()
        path = model.folder if model else None
    else:
        run = Run.objects.filter(pk=start["id"]).first()
        path = weights_of(run) if run else None
    if path is None or not path.exists():
        raise ConfigError("start_from", f"the weights of {start['name']} are gone; start from others")
    return str(path)


def _best(payload: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": payload["epoch"], "step": payload["step"], **payload["val"]}


def _forget_best_after(job: Job, epoch: int) -> None:
    """An epoch that was the best is told again and no longer is: go back to the best one before it."""
    run = Run.objects.filter(job=job).first()
    if run is None or run.best.get("epoch", -1) < epoch:
        return
    earlier = JobEvent.objects.filter(job=job, kind="epoch", key__lt=epoch, payload__best=True)
    row = earlier.order_by("-key").first()
    Run.objects.filter(pk=run.pk).update(best=_best(row.payload) if row else {})
