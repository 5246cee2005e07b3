"""Passes over the validation and test part within a training."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from torch import nn

from mmfrm.calibration import Answers
from mmfrm.config import OptimConfig
from mmfrm.control import Control
from mmfrm.data import Faces
from mmfrm.ddp import Group
from mmfrm.evaluate import View, measure
from mmfrm.events import Progress
from mmfrm.loss import Criterion
from mmfrm.runtime import Runtime
from mmfrm.statistics import SplitStatistics


class Judge:
    """Measures networks as the training that it belongs to is to be judged."""

    def __init__(
        self,
        faces: Faces,
        optim: OptimConfig,
        criterion: Criterion,
        *,
        runtime: Runtime,
        control: Control,
        processes: Group,
    ) -> None:
        self._faces, self._optim, self._criterion = faces, optim, criterion
        self._runtime, self._control, self._processes = runtime, control, processes

    def statistics(self, *, rfloss_active: bool, temperature: float | None = None) -> SplitStatistics:
        """To gather the figures of a split in.

        Its batches are as large as is quick, and a process's parts of them are not of the same images as
        those of one alone, so RFLoss is taken of the whole split.
        """
        loss = partial(
            self._criterion.of_split, rfloss_active=rfloss_active, batch_size=self._optim.batch_size
        )
        return SplitStatistics(self._faces.classes, temperature, loss)

    def look(
        self,
        network: nn.Module,
        split: str,
        statistics: SplitStatistics | Answers,
        *,
        rfloss_active: bool,
        phase: str,
        seconds_after: float,
    ) -> Generator[Progress, None, bool]:
        """Let a network answer a whole split; False where it was stopped. See `mmfrm.evaluate.measure`."""
        return (
            yield from measure(
                network,
                [View.whole(self._faces.splits[split])],
                statistics,
                self._criterion,
                runtime=self._runtime,
                control=self._control,
                batch_size=max(self._optim.batch_size, 64) // self._processes.world,
                processes=self._processes,
                rfloss_active=rfloss_active,
                phase=phase,
                seconds_after=seconds_after,
            )
        )
