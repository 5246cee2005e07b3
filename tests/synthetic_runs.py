"""Runs with plausible events, without a trainer: for tests of pages, and to look at them.

`python -m tests.synthetic_runs` fills the data folder of DATA_DIR with experiments in every state.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from mmfrm.events import (
    EpochEnd,
    Evaluated,
    Event,
    Failed,
    Finished,
    Hardware,
    Notice,
    Progress,
    Started,
    StepDone,
)

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.datasets.models import DatasetVersion
    from webapp.experiments.models import Experiment, Run
    from webapp.jobs.models import Job

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
COUNTS = (1341, 928, 461, 447, 325, 35, 98, 30)  # about FERPlus's validation part
CEILING = (0.88, 0.95, 0.84, 0.63, 0.71, 0.24, 0.41, 0.12)  # recall a class ends near
SPEED = (2.5, 1.5, 3.0, 6.0, 5.0, 20.0, 12.0, 30.0)  # epochs in which it gets there, about
NEIGHBOUR = (3, 0, 6, 0, 0, 4, 2, 0)  # what it is taken for
STEPS = 383  # an epoch


@dataclass(frozen=True)
class Story:
    """How a synthetic training goes."""

    epochs: int = 12
    seed: int = 0
    skill: float = 1.0  # multiplies what each class reaches
    classes: Sequence[str] = CLASSES
    steps: int = STEPS

    def epoch_end(self, epoch: int, *, best: bool = True) -> EpochEnd:
        """The figures of one epoch."""
        return EpochEnd(
            epoch=epoch,
            step=(epoch + 1) * self.steps,
            train=self.figures(epoch, lead=1.06, count_factor=8),
            val=self.figures(epoch, lead=1.0, count_factor=1),
            learning_rate=1e-3 * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs)),
            gradient_norm=2.2 + 1.5 * math.exp(-epoch / 4) + 0.2 * self._noise(epoch, "norm"),
            images_per_second=71 + 3 * self._noise(epoch, "rate"),
            seconds=345.0,
            memory_bytes=1_480_000_000,
            best=best,
            data_wait=0.03,
        )

    def figures(self, epoch: int, *, lead: float, count_factor: int) -> dict[str, Any]:
        """A split's figures, consistent with one confusion matrix."""
        recalls = [self._recall(k, epoch, lead) for k in range(len(self.classes))]
        counts = [COUNTS[k] * count_factor for k in range(len(self.classes))]
        confusion = [self._row(k, counts[k], recalls[k]) for k in range(len(self.classes))]
        classes = [self._class(k, confusion) for k in range(len(self.classes))]
        total, right = sum(counts), sum(confusion[k][k] for k in range(len(self.classes)))
        low, high = wilson(right, total)
        cross_entropy = (
            0.42 + 1.6 * math.exp(-epoch / 3.5) + (0.3 if lead == 1.0 else 0.05 * epoch / self.epochs)
        )
        rfloss = 0.11 + 0.12 * math.exp(-epoch / 6)
        return {
            "count": total,
            "loss": 0.9 * cross_entropy + 0.2 * rfloss,
            "cross_entropy": cross_entropy,
            "rfloss": rfloss,
            "accuracy": right / total,
            "accuracy_low": low,
            "accuracy_high": high,
            "mean_class_accuracy": sum(c["recall"] for c in classes) / len(classes),
            "macro_f1": sum(c["f1"] for c in classes) / len(classes),
            "calibration_error": 0.03 + 0.05 * math.exp(-epoch / 5),
            "alpha_mean": 0.86,
            "alpha_std": 0.06,
            "confusion": confusion,
            "classes": classes,
        }

    def steps_of(self, epoch: int, every: int = 12) -> Iterator[StepDone]:
        """The steps of one epoch, as they are said."""
        for step in range(epoch * self.steps, (epoch + 1) * self.steps, every):
            at = step / self.steps
            yield StepDone(
                step=step,
                epoch=epoch,
                loss=0.5 + 1.7 * math.exp(-at / 3) + 0.08 * self._noise(step, "step"),
                learning_rate=1e-3 * min(1.0, (step + 1) / 200),
                gradient_norm=2.4 + 1.5 * math.exp(-at / 4) + 0.5 * abs(self._noise(step, "step norm")),
                images_per_second=71 + 5 * self._noise(step, "step rate"),
                data_wait=min(1.0, abs(0.03 + 0.01 * self._noise(step, "wait"))),
            )

    def told(self, epochs: range) -> Iterator[Event]:
        """Everything that a training says from one epoch to another, without its start and end."""
        best = -1.0
        for epoch in range(epochs.stop):
            figure = self.figures(epoch, lead=1.0, count_factor=1)["accuracy"]
            is_best, best = figure > best, max(best, figure)
            if epoch in epochs:
                yield from self.steps_of(epoch)
                yield self.epoch_end(epoch, best=is_best)

    def hardware(self, reading: int, *, gpus: int = 0) -> Hardware:
        """What the machine does at the time of a reading."""
        card = {"name": "A card", "use": 0.9 + 0.05 * math.sin(reading), "memory_bytes": 6 * 10**9}
        return Hardware(
            cpu=min(1.0, 0.8 + 0.05 * math.sin(reading)),
            machine_cpu=0.93,
            memory_bytes=1_400_000_000 + 10**7 * (reading % 7),
            machine_memory=0.41,
            gpus=[card | {"memory_total": 8 * 10**10}] * gpus,
        )

    def started(self, *, resumed: bool = False) -> Started:
        """How it begins."""
        facts = {"device": "cpu", "device_name": "CPU", "precision": "bf16", "threads": 2, "processes": 1}
        facts |= {"parameters": 6_812_345, "steps_per_epoch": self.steps, "classes": list(self.classes)}
        return Started(resumed=resumed, facts=facts)

    def ending(self) -> Iterator[Event]:
        """Test, once, and the end."""
        yield Evaluated(split="test", figures=self.figures(self.epochs - 2, lead=0.985, count_factor=1))
        yield Finished(result={"model": "model"})

    def _recall(self, k: int, epoch: int, lead: float) -> float:
        reached = CEILING[k] * self.skill * lead * (1 - math.exp(-(epoch + 1) / SPEED[k]))
        return min(0.995, max(0.0, reached + 0.015 * self._noise(epoch * 97 + k, f"recall {lead}")))

    def _row(self, k: int, count: int, recall: float) -> list[int]:
        """Of a class's images, how many were answered with each class."""
        size = len(self.classes)
        row = [0] * size
        row[k] = round(count * recall)
        wrong = count - row[k]
        row[NEIGHBOUR[k] % size] += wrong // 2
        for other in range(size):
            row[other] += (wrong - wrong // 2) // size
        row[k] += count - sum(row)
        return row

    def _class(self, k: int, confusion: list[list[int]]) -> dict[str, Any]:
        right, true = confusion[k][k], sum(confusion[k])
        said = sum(row[k] for row in confusion)
        low, high = wilson(right, true)
        mean = 0.08 + 0.86 * right / true
        return {
            "name": self.classes[k],
            "count": true,
            "precision": right / said if said else 0.0,
            "recall": right / true,
            "recall_low": low,
            "recall_high": high,
            "f1": 2 * right / (true + said),
            "p_true_mean": mean,
            "p_true_variance": mean * (1 - mean) * 0.55,
            "p_true_mad": math.sqrt(mean * (1 - mean) * 0.55) * 0.82,
        }

    def _noise(self, at: int, what: str) -> float:
        return Random(f"{self.seed} {what} {at}").gauss(0.0, 1.0)


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z, p = 1.96, right / total
    middle, spread = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return (middle - spread) / (1 + z * z / total), (middle + spread) / (1 + z * z / total)


def ready_version(owner: User, name: str = "FERPlus", classes: Sequence[str] = CLASSES) -> DatasetVersion:
    """A version that runs may refer to. It has no pictures."""
    from django.utils import timezone

    from webapp.datasets.models import Dataset, DatasetVersion

    dataset = Dataset.objects.create(owner=owner, name=name)
    return DatasetVersion.objects.create(
        dataset=dataset,
        number=1,
        made_by=owner,
        ready_at=timezone.now(),
        layout="ferplus",
        classes=list(classes),
        images=35_710,
        fingerprint="5f1d" * 16,
        counts={"train": dict(zip(classes, (c * 8 for c in COUNTS), strict=False))},
    )


def queued_run(
    owner: User,
    version: DatasetVersion,
    *,
    name: str = "small, seed 0",
    preset: str = "small",
    experiment: Experiment | None = None,
    changes: dict[str, Any] | None = None,
) -> Run:
    """A run that waits."""
    from mmfrm.presets import presets
    from mmfrm.settings import replace
    from webapp.experiments.services import start_run

    config = replace(presets()[preset], changes or {})
    return start_run(owner, version=version, preset=preset, config=config, name=name, experiment=experiment)


def play(run: Run, story: Story, epochs: range, *, end: bool = False) -> Job:
    """Let a worker take the run and say what it says, as fast as rows are written. Answers its job."""
    from webapp.jobs import services
    from webapp.jobs.models import Job

    services.move(run.job_id, Job.State.STARTING, [Job.State.QUEUED], attempt=1, worker="gpu-1@lab")
    job = Job.objects.get(pk=run.job_id)
    services.heartbeat(job)
    services.record(job, story.started())
    for event in story.told(epochs):
        services.record(job, event)
    if not end:
        services.record(job, _progress(story, epochs.stop))
        return job
    for event in story.ending():
        services.record(job, event)
    services.end(job, last=Finished(), exit_status="0")
    return job


def play_long(run: Run, *, epochs: int, steps: int) -> Job:
    """A run that goes on and already has so many epochs and step points, written in bulk."""
    from django.utils import timezone

    from webapp.jobs import services
    from webapp.jobs.models import Job, JobEvent

    services.move(run.job_id, Job.State.RUNNING, [Job.State.QUEUED], attempt=1, worker="gpu-1@lab")
    job = Job.objects.get(pk=run.job_id)
    story = Story(epochs=epochs, steps=steps // epochs)
    events: list[tuple[str, int, Event]] = []
    for epoch in range(epochs):
        events += [("step", s.step, s) for s in story.steps_of(epoch, every=1)]
        events.append(("epoch", epoch, story.epoch_end(epoch, best=epoch == epochs // 2)))
    now = timezone.now()
    JobEvent.objects.bulk_create(
        (
            JobEvent(
                job=job, seq=job.last_seq + i, kind=kind, key=key, attempt=1, at=now, payload=event.payload()
            )
            for i, (kind, key, event) in enumerate(events, start=1)
        ),
        batch_size=2000,
    )
    Job.objects.filter(pk=job.pk).update(last_seq=job.last_seq + len(events), heartbeat_at=now)
    return Job.objects.get(pk=job.pk)


def keep_a_model(run: Run) -> None:
    """What the trainer leaves in the folder, in miniature."""
    model = run.folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "model.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    (run.folder / "last.ckpt").write_bytes(b"checkpoint")


def _progress(story: Story, epoch: int) -> Progress:
    return Progress(
        done=12_352,
        total=24_512,
        unit="images",
        phase=f"training, epoch {epoch + 1} of {story.epochs}",
        rate=71.4,
        seconds_left=1_520.0,
    )


def main() -> None:
    """Experiments in every state, owned by the first administrator."""
    from webapp.accounts.models import User
    from webapp.experiments.models import Experiment
    from webapp.jobs import services

    owner = User.objects.filter(role="administrator").first() or User.objects.create_user(
        "ada", password="a long pass phrase", role="administrator", first_name="Ada", last_name="Lovelace"
    )
    version = ready_version(owner)
    ablation = Experiment.objects.create(
        owner=owner, name="Does fusion help?", question="tcffm against none, RFLoss intended against off"
    )
    for seed, fusion in enumerate(("tcffm", "concat", "none")):
        changes = {"network.fusion": fusion, "runtime.seed": seed}
        run = queued_run(owner, version, name=f"{fusion}, seed {seed}", experiment=ablation, changes=changes)
        play(run, Story(seed=seed, skill=1 - 0.05 * seed), range(12), end=True)
        keep_a_model(run)
    failed = queued_run(
        owner, version, name="sgd, rate 0.5", experiment=ablation, changes={"optim.optimizer": "sgd"}
    )
    job = play(failed, Story(skill=0.2), range(2))
    services.record(job, Notice(level="warning", text="Every validation face is answered with neutral."))
    failure = Failed(message="The loss is no longer a number. Lower optim.learning_rate.", resumable=True)
    services.record(job, failure)
    services.end(job, last=failure, exit_status="1")
    running = queued_run(
        owner, version, name="RFLoss intended", experiment=ablation, changes={"loss.rfloss": "intended"}
    )
    play(running, Story(seed=7), range(7))
    queued_run(owner, version, name="paper recipe", preset="paper")


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    django.setup()
    main()
