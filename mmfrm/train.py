"""A training, as a generator of events. Whoever asks for no more events has stopped it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from mmfrm import outlook
from mmfrm.calibration import Answers
from mmfrm.checkpoint import load_model
from mmfrm.control import Control
from mmfrm.data import Faces, open_faces
from mmfrm.ddp import Group, group
from mmfrm.engines.frozen import place
from mmfrm.epoch_figures import EpochFigures
from mmfrm.events import (
    Checkpointed,
    EpochEnd,
    Evaluated,
    Event,
    Finished,
    Notice,
    Started,
    Steered,
    Stopped,
)
from mmfrm.helm import Helm, obey
from mmfrm.jobs import TrainJob
from mmfrm.judge import Judge
from mmfrm.keeper import Keeper
from mmfrm.learner import Learner, Outcome
from mmfrm.meanwhile import meanwhile
from mmfrm.nn import FaceNetwork, build_network
from mmfrm.plan import Plan
from mmfrm.pulse import Pulse, require_number
from mmfrm.runtime import Runtime, prepare, set_seed
from mmfrm.standing import (
    MODEL,
    Positions,
    Standing,
    class_counts,
    collapse_notices,
    figure_of,
)
from mmfrm.starting_point import load_start
from mmfrm.statistics import SplitStatistics
from mmfrm.steering import read_orders


def train(folder: Path, job: TrainJob, control: Control) -> Iterator[Event]:
    """Do, or go on with, a TrainJob. Raises JobError with the remedy where it cannot."""
    runtime = prepare(job.config.runtime)
    faces = yield from meanwhile(partial(open_faces, job.data, job.config.data))
    with group(runtime.device) as processes:
        training = Training(folder, job, faces, control=control, runtime=runtime, processes=processes)
        yield from training.events()


class Training:
    """One run: its data, its learner, and where it stands."""

    def __init__(
        self,
        folder: Path,
        job: TrainJob,
        faces: Faces,
        *,
        control: Control,
        runtime: Runtime,
        processes: Group,
    ) -> None:
        self._config = job.config
        self._control, self._runtime, self._processes = control, runtime, processes
        self._helm = Helm(
            control,
            processes,
            read_orders(job.steering),
            checkpoint_seconds=job.config.runtime.checkpoint_seconds,
        )
        set_seed(job.config.runtime.seed)
        self._faces = faces
        self._plan = Plan(job.config, faces, world=processes.world, opens_test=job.open_test)
        self._train = faces.splits["train"]
        counts = class_counts(self._train, faces.classes)
        self._keeper = Keeper(folder, job.config, faces, processes)
        self._notices = list(runtime.notes)
        network = self._network(job)
        self._learner = Learner(
            network,
            job.config,
            runtime=runtime,
            processes=processes,
            class_counts=counts,
            steps_per_epoch=len(self._plan.batches(0)),
        )
        self._judge = Judge(
            faces,
            job.config.optim,
            self._learner.criterion,
            runtime=runtime,
            control=control,
            processes=processes,
        )
        self._standing = Standing()
        self._figures = self._fresh_figures()
        self._train_rate = 0.0

    def _network(self, job: TrainJob) -> FaceNetwork:
        """With the weights that the run begins with, unless a checkpoint is to be restored, which has every
        weight: what the run began with may be gone by then, or on another machine."""
        network, classes = job.config.network, len(self._faces.classes)
        if self._keeper.has_begun:
            return FaceNetwork(network, classes)
        made = build_network(network, classes)
        if job.start_from:
            self._notices.append(load_start(made, Path(job.start_from), self._faces.classes))
        return made

    def events(self) -> Iterator[Event]:
        """Everything that happens until the run is finished or stopped."""
        resumed = self._restore()
        yield Started(resumed=resumed, facts=self._facts())
        yield from (Notice(text=text, level="warning") for text in self._notices)
        if self._standing.last_epoch_end is not None:
            # Whoever lost it with the killed process needs it; whoever has it replaces it by itself.
            yield EpochEnd(**self._standing.last_epoch_end)
        yield from (Steered(**payload) for payload in list(self._standing.steered))
        yield from self._steer()
        while not self._is_over():
            if self._helm.must_stop(self._standing):
                yield Stopped(reason=f"It was to stop after epoch {self._standing.epoch}.", on_order=True)
                return
            if not (yield from self._epoch()):
                yield Stopped(reason=self._control.reason)
                return
            self._helm.listen()  # before it counts as over: its length may have changed meanwhile
            yield from self._steer()
        yield from self._finish()

    def _is_over(self) -> bool:
        return self._standing.epoch >= self._epochs or self._standing.is_out_of(self._config.optim.patience)

    def _steer(self) -> Generator[Event, None, bool]:
        """Obey what is new. The checkpoint comes before the word, so that it holds from the same step on
        whatever happens next. True where one was written."""
        fresh = self._helm.fresh(self._standing)
        if not fresh:
            return False
        learner = self._learner
        steered = [obey(order, self._standing, learner.schedule, learner.step_count) for order in fresh]
        yield self._save()
        yield from steered
        return True

    def _epoch(self) -> Generator[Event, None, bool]:
        """Learn from every training image, validate, checkpoint. False where it was stopped."""
        if not (yield from self._learn()):
            return False
        val = self._judge.statistics(rfloss_active=self._rfloss_active)
        if not (yield from self._measure(self._learner.answering, "val", val, "validating")):
            yield self._save()
            return False
        end = self._epoch_end(self._figures.gathered().figures(), val.figures())
        self._turn_page(end)
        # The checkpoint comes first and holds the EpochEnd: a process killed between the two says it
        # again when it goes on, so that an epoch is neither lost nor done twice.
        checkpointed = self._save()
        yield end
        yield checkpointed
        if end.best:
            yield self._keep_model()
        yield from collapse_notices(end, self._faces.classes)
        return True

    def _learn(self) -> Generator[Event, None, bool]:
        """The rest of the epoch's steps. False where it was stopped."""
        standing = self._standing
        batches = self._plan.batches(standing.epoch)
        done = sum(map(len, batches[: standing.batch]))
        pulse = Pulse(sum(map(len, batches)), self._images_after(), phase=self._phase("training"), done=done)
        for positions in batches[standing.batch :]:
            started = time.monotonic()
            waited = standing.waited
            outcome = self._step(positions)
            pulse.beat(outcome, len(positions), standing.waited - waited)
            standing.batch += 1
            if pulse.is_due() or standing.batch == len(batches):
                yield from pulse.say(self._learner.step_count - 1, standing.epoch)
            standing.seconds += time.monotonic() - started
            if (yield from self._grant_wishes(pulse, last=standing.batch == len(batches))):
                return False
        self._train_rate = pulse.rate
        return True

    def _grant_wishes(self, pulse: Pulse, *, last: bool) -> Generator[Event, None, bool]:
        """Between two steps: new orders, a checkpoint that is due. True where it is to stop."""
        wishes = self._helm.wishes(self._standing.batch, last=last)
        if wishes.stop or wishes.save or wishes.steer:
            pulse.require_finite()
        is_saved = wishes.steer and (yield from self._steer())
        if is_saved:
            pulse.expect(self._images_after(), self._phase("training"))
        elif wishes.stop or wishes.save:
            yield self._save()
        return wishes.stop

    def _step(self, positions: Positions) -> Outcome:
        """One optimizer step on this process's part of a global batch."""
        mine = self._processes.part_of(positions)
        asked_at = time.monotonic()
        images, targets = self._train.batch(mine)
        self._standing.waited += time.monotonic() - asked_at
        share = len(mine) * self._processes.world / len(positions)
        side = self._plan.side(self._standing.epoch, self._epochs)
        outcome = self._learner.step(
            images, targets, share=share, side=side, rfloss_active=self._rfloss_active
        )
        self._figures.add(outcome)
        return outcome

    def _measure(
        self, network: nn.Module, split: str, statistics: SplitStatistics | Answers, phase: str
    ) -> Generator[Event, None, bool]:
        return (
            yield from self._judge.look(
                network,
                split,
                statistics,
                rfloss_active=self._rfloss_active,
                phase=self._phase(phase),
                seconds_after=self._images_after() / self._train_rate if self._train_rate else 0.0,
            )
        )

    def _epoch_end(self, train: dict[str, Any], val: dict[str, Any]) -> EpochEnd:
        standing = self._standing
        batches = self._plan.batches(standing.epoch)
        return EpochEnd(
            epoch=standing.epoch,
            step=self._learner.step_count,
            train=train,
            val=val,
            learning_rate=self._learner.schedule.rate(self._learner.step_count - 1),
            gradient_norm=self._figures.gradient_norm(len(batches)),
            images_per_second=sum(map(len, batches)) / max(standing.seconds, 1e-9),
            seconds=standing.seconds,
            memory_bytes=self._runtime.memory_bytes(),
            best=standing.is_better(figure_of(val, self._config.optim)),
            data_wait=min(1.0, standing.waited / max(standing.seconds, 1e-9)),
        )

    def _turn_page(self, end: EpochEnd) -> None:
        """The next epoch is the one in progress. Raises JobError where val says NaN: the weights are."""
        require_number(end.val["cross_entropy"])
        figure = figure_of(end.val, self._config.optim)
        self._standing.turn_page(end, figure)
        self._learner.schedule.epoch_ended(figure)
        self._figures = self._fresh_figures()

    def _finish(self) -> Iterator[Event]:
        """Open the test split, once, with the best epoch's weights, unless it is to stay closed."""
        standing = self._standing
        self._processes.wait()  # until rank 0 has written the model
        if not standing.is_judged:
            if standing.test is not None and standing.judged_epoch >= 0:
                text = "The test split is opened again: the run was extended, and its best epoch is another."
                yield Notice(text=text)
            network = load_model(self._keeper.model).network
            place(network, self._runtime)
            if not (yield from self._open_test(network)):
                yield Stopped(reason=self._control.reason)
                return
            self._keeper.keep_model(network, standing)
            self._save()
        if standing.test is not None:
            yield Evaluated(split="test", figures=standing.test)
        yield Finished(result={"model": MODEL, **standing.headline()})

    def _open_test(self, network: FaceNetwork) -> Generator[Event, None, bool]:
        """How sure the best weights should be, by val; then their figures on test, where there is one."""
        standing = self._standing
        answers = Answers()
        if not (yield from self._measure(network, "val", answers, "calibrating")):
            return False
        standing.temperature = answers.temperature()
        if self._plan.opens_test:
            test = self._judge.statistics(rfloss_active=self._rfloss_active, temperature=standing.temperature)
            if not (yield from self._measure(network, "test", test, "testing")):
                return False
            standing.test = test.figures()
        standing.judged_epoch = standing.best_epoch
        return True

    # --- what is kept on the disk ------------------------------------------------------------------

    def _save(self) -> Checkpointed:
        """Write a checkpoint. Every process must come here."""
        started = time.monotonic()
        checkpointed = self._keeper.save(self._standing, self._learner, self._figures)
        self._helm.saved(time.monotonic() - started)
        return checkpointed

    def _restore(self) -> bool:
        """Go on from the folder's newest whole checkpoint, if there is one."""
        standing = self._keeper.restore(self._learner, self._figures)
        self._notices += [f"{problem}; it is not used." for problem in self._keeper.problems]
        self._standing = standing or self._standing
        return standing is not None

    def _keep_model(self) -> Checkpointed:
        self._keeper.keep_model(self._learner.answering, self._standing)
        epoch, step = self._standing.best_epoch, self._learner.step_count
        return Checkpointed(path=MODEL, epoch=epoch, step=step, best=True)

    # --- small questions ---------------------------------------------------------------------------

    @property
    def _epochs(self) -> int:
        """Of the whole run, extensions included."""
        return self._learner.schedule.epochs

    @property
    def _rfloss_active(self) -> bool:
        return self._plan.rfloss_active(self._standing.epoch)

    def _fresh_figures(self) -> EpochFigures:
        return EpochFigures(self._faces.classes, self._runtime.device)

    def _images_after(self) -> float:
        return self._plan.images_after(self._standing.epoch, self._epochs)

    def _phase(self, doing: str) -> str:
        return outlook.phase(doing, self._standing.epoch, self._epochs)

    def _facts(self) -> dict[str, Any]:
        return outlook.facts(
            self._runtime,
            self._processes,
            self._learner.network,
            self._faces,
            epochs=self._epochs,
            steps=len(self._plan.batches(0)),
        )
