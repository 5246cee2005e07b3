"""What a training's network is worth on the splits that it does not learn from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Mapping
from typing import Any

from torch import nn

from mmfrm.calibration import Answers
from mmfrm.config import OptimConfig
from mmfrm.control import Control
from mmfrm.data import Faces
from mmfrm.ddp import Group
from mmfrm.evaluate import View, measure
from mmfrm.events import Event
from mmfrm.loss import Criterion
from mmfrm.runtime import Runtime
from mmfrm.statistics import SplitStatistics


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moment:
    """What an answer for a split depends on beside the network: how far the training is."""

    phase: str  # "validating, epoch 3 of 12"
    rfloss_active: bool
    seconds_after: float  # of what comes after it, for the time left


class Judge:
    """Measures a training's networks. Every process of a group must ask for the same."""

    def __init__(
        self,
        faces: Faces,
        optim: OptimConfig,
        criterion: Criterion,
        *,
        control: Control,
        runtime: Runtime,
        processes: Group,
    ) -> None:
        self._faces, self._criterion = faces, criterion
        self._control, self._runtime, self._processes = control, runtime, processes
        self._batch_size = max(optim.batch_size, 64) // processes.world

    def measure(
        self, network: nn.Module, split: str, statistics: SplitStatistics | Answers, moment: Moment
    ) -> Generator[Event, None, bool]:
        """Fill `statistics` with the network's answers for a split. False where it was stopped."""
        progress = measure(
            network,
            [View.whole(self._faces.splits[split])],
            statistics,
            self._criterion,
            runtime=self._runtime,
            control=self._control,
            batch_size=self._batch_size,
            processes=self._processes,
            rfloss_active=moment.rfloss_active,
            phase=moment.phase,
        )
        while True:
            try:
                event = next(progress)
            except StopIteration as end:
                return bool(end.value)
            later = (event.seconds_left or 0.0) + moment.seconds_after
            yield dataclasses.replace(event, seconds_left=later)


def figure_of(val: Mapping[str, Any], optim: OptimConfig) -> float:
    """The validation figure that chooses the best epoch; larger is better."""
    value = val[optim.select_by]
    if value is None or not math.isfinite(value):
        return -math.inf
    return -value if optim.select_by == "loss" else float(value)
