"""What people want of a running training: every process hears it at the same step, and obeys alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from mmfrm.control import Control
from mmfrm.ddp import Group
from mmfrm.events import Steered
from mmfrm.optim import Schedule
from mmfrm.standing import Standing
from mmfrm.steering import EXTEND, SCALE_RATE, SET_RATE, STOP_AFTER, Order

SAVING_SHARE = 0.05  # checkpoints within an epoch may take at most this share of the time
AGREE_EVERY = 10  # steps between the questions whether any of several processes wants to stop


@dataclass(frozen=True)
class Wishes:
    """What is to be done before the next step."""

    stop: bool = False
    save: bool = False
    steer: bool = False


class Helm:
    """Listens between steps. `orders` are those of job.json when it starts; newer ones come by `control`."""

    def __init__(
        self, control: Control, processes: Group, orders: Sequence[Order], *, checkpoint_seconds: float
    ) -> None:
        self.orders = tuple(orders)
        self._control = control
        self._processes = processes
        self._checkpoint_seconds = checkpoint_seconds
        self._saved_at, self._saving_seconds = time.monotonic(), 0.0

    def saved(self, seconds: float) -> None:
        """A checkpoint was written, which took so long."""
        self._saved_at, self._saving_seconds = time.monotonic(), seconds

    def wishes(self, batch: int, *, last: bool) -> Wishes:
        """After so many batches of the epoch (`last`: after all); the same answer in every process."""
        processes = self._processes
        if processes.world > 1 and batch % AGREE_EVERY and not last:
            return Wishes()
        every = self._checkpoint_seconds
        pause = max(every, self._saving_seconds / SAVING_SHARE) if every else 0.0
        due = processes.speaks and time.monotonic() - self._saved_at >= pause
        stop, save, steer = processes.agree(self._control.stop_requested(), due, self._has_news())
        if steer:
            self._take()
        return Wishes(stop, save, steer)

    def listen(self) -> None:
        """Between two epochs: take newer orders, where there are some; every process must come here."""
        self._control.look()
        if any(self._processes.agree(self._has_news())):
            self._take()

    def must_stop(self, standing: Standing) -> bool:
        """Whether an order says so, now that an epoch has ended."""
        is_between = standing.batch == 0
        return is_between and any(o.do == STOP_AFTER and standing.epoch > o.value for o in self.orders)

    def fresh(self, standing: Standing) -> list[Order]:
        """Orders that bend the course and are not obeyed yet, extensions first.

        A new rate is relative to the schedule, which an extension changes.
        """
        fresh = [o for o in self.orders if o.changes_learning and o.number > standing.heard]
        return sorted(fresh, key=lambda order: order.do != EXTEND)

    def _has_news(self) -> bool:
        told = self._control.orders
        return self._processes.speaks and told is not None and told != self.orders

    def _take(self) -> None:
        self.orders = tuple(self._processes.share(self._control.orders))


def obey(order: Order, standing: Standing, schedule: Schedule, step: int) -> Steered:
    """Let an order hold from a step on, and remember that it does."""
    if order.do == EXTEND:
        _extend(schedule, step, int(order.value), standing)
        if order.value > 0:
            standing.patience_from = standing.epoch - 1  # patience counts anew
    elif order.do == SCALE_RATE:
        schedule.bend(step, factor=schedule.factor * order.value)
    else:
        plain = schedule.rate_after_warmup(step)
        schedule.bend(step, factor=order.value / plain if plain > 0 else schedule.factor)
    standing.heard = max(standing.heard, order.number)
    steered = Steered(
        number=order.number,
        do=order.do,
        value=order.value,
        step=step,
        epoch=standing.epoch,
        learning_rate=schedule.rate(step),
        epochs=schedule.epochs,
    )
    standing.steered.append(steered.payload())
    return steered


def _extend(schedule: Schedule, step: int, epochs: int, standing: Standing) -> None:
    """So many epochs more, or fewer, but an epoch that was begun is ended, and a run has one at least.

    A rate that was set stays the one that it was set to. It is kept as a factor of the schedule, and the
    longer schedule is higher at the same step: near its end a cosine is almost nothing, so that the factor
    is large, and would carry the rate far beyond what was asked for. So the factor becomes the one that gives
    the rate that was set at the step where it was set, from where it falls with the longer schedule.
    """
    was_set = next((o for o in reversed(standing.steered) if o["do"] == SET_RATE), None)
    before = schedule.rate_after_warmup(was_set["step"]) if was_set else 0.0
    least = max(1, standing.epoch + (standing.batch > 0))
    schedule.bend(step, epochs=max(schedule.epochs + epochs, least))
    after = schedule.rate_after_warmup(was_set["step"]) if was_set else 0.0
    if was_set is None or after <= 0:
        return
    # Set when the old schedule had come to nothing, no factor could express it until now.
    factor = schedule.factor * before / after if before > 0 else was_set["value"] / after
    schedule.bend(step, factor=factor)
