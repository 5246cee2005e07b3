"""What a training says while an epoch runs: at most twice a second, and without waiting for the device."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from torch import Tensor

from mmfrm.events import Progress, StepDone
from mmfrm.failures import JobError
from mmfrm.learner import Outcome
from mmfrm.progress import Meter


class Pulse:
    """Gathers the steps since it last spoke.

    Losses stay on the device until then: reading one makes the host wait for it.
    """

    def __init__(self, images: int, later_images: float, *, phase: str, done: int = 0) -> None:
        self._meter = Meter(images, phase=phase, done=done)
        self._later_images = later_images  # after this epoch, for the time left of the whole run
        self._loss: Tensor | None = None
        self._norm: Tensor | None = None
        self._skips_overflow = False
        self._steps = 0
        self._learning_rate = 0.0
        self._waited = 0.0
        self._said_at = time.monotonic()

    def expect(self, later_images: float, phase: str) -> None:
        """What comes after this epoch has changed."""
        self._later_images, self._meter.phase = later_images, phase

    @property
    def rate(self) -> float:
        """Images a second, over the last seconds."""
        return self._meter.rate

    def beat(self, outcome: Outcome, images: int, waited: float) -> None:
        """Count one step, its images, and the seconds that it waited for them."""
        loss, norm = outcome.parts.total.detach(), outcome.gradient_norm
        self._loss = loss if self._loss is None else self._loss + loss
        self._norm = norm if self._norm is None else self._norm + norm
        self._learning_rate, self._skips_overflow = outcome.learning_rate, outcome.skips_overflow
        self._steps += 1
        self._waited += waited
        self._meter.add(images)

    def is_due(self) -> bool:
        """Whether it is time to speak again."""
        return self._meter.is_due()

    def say(self, step: int, epoch: int) -> Iterator[StepDone | Progress]:
        """The steps since the last time, up to `step`, then how far the epoch is.

        Raises JobError as `require_finite` does.
        """
        if self._loss is not None and self._norm is not None:
            self.require_finite()
            loss, norm = float(self._loss) / self._steps, float(self._norm) / self._steps
            self._loss = self._norm = None
            self._steps = 0
            yield StepDone(
                step=step,
                epoch=epoch,
                loss=loss,
                learning_rate=self._learning_rate,
                gradient_norm=norm,
                images_per_second=self._meter.rate,
                data_wait=self._wait_share(),
            )
        yield self._meter.say(round(self._later_images))

    def _wait_share(self) -> float:
        now = time.monotonic()
        share = min(1.0, self._waited / max(now - self._said_at, 1e-9))
        self._waited, self._said_at = 0.0, now
        return share

    def require_finite(self) -> None:
        """Raise JobError where the weights are no numbers (any more): such weights must not be saved.

        A loss tells it of the steps before its own; of the last step, only the gradient can.
        """
        if self._loss is not None and self._norm is not None:
            require_number(float(self._loss))
            if not self._skips_overflow:
                require_number(float(self._norm))


def require_number(figure: float) -> None:
    """Raise JobError where a loss, or the size of a gradient, is NaN or infinite."""
    if not math.isfinite(figure):
        raise JobError(
            "The loss or its gradient is no longer a number (NaN or infinite). The last checkpoint is from "
            "before: steer the run to a lower learning rate (its page, or python -m mmfrm steer), or set "
            "runtime.precision to fp32, and let it go on; or start a new run with a longer "
            "optim.warmup_steps or with optim.gradient_clip."
        )
