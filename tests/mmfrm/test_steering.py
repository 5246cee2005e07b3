"""A training is steered while it runs, and remembers it whatever happens to it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from mmfrm.config import OptimConfig
from mmfrm.control import Control
from mmfrm.events import EpochEnd, Evaluated, Event, Finished, Notice, Started, Steered, Stopped
from mmfrm.helm import obey
from mmfrm.jobs import TrainJob
from mmfrm.learner import Learner
from mmfrm.optim import Schedule
from mmfrm.resume import LAST, read_state
from mmfrm.schema import ConfigError
from mmfrm.standing import Standing
from mmfrm.steering import Order, read_orders
from mmfrm.train import train
from tests.mmfrm.training import drawn_faces, epoch_ends, same_tensors, smallest
from tests.product import wait_until

__all__ = ["drawn_faces"]  # a fixture

CONFIG = smallest()  # 7 steps an epoch, 2 epochs
HALF = Order(number=1, do="scale_rate", value=0.5)
MORE = Order(number=2, do="extend", value=1)
STOP = Order(number=3, do="stop_after", value=0)
TOLD_IN_STEP = {4: (HALF,), 9: (HALF, MORE)}


class Killed(BaseException):
    """Stands for SIGKILL inside this process: nothing may catch it."""


def attempt(
    folder: Path,
    data: Path,
    steering: Sequence[Order] = (),
    *,
    told: dict[int, tuple[Order, ...]] | None = None,
    kill_in: int = -1,
) -> list[Event]:
    """A process's life: orders of its job file, those told in the middle of a step, and perhaps its end."""
    control, original = Control(), Learner._move

    def moving(self: Learner) -> torch.Tensor:
        norm = original(self)
        control.orders = (told or {}).get(self.step_count, control.orders)
        if self.step_count == kill_in:
            raise Killed
        return norm

    job = TrainJob(data=str(data), config=CONFIG, steering=[asdict(order) for order in steering])
    events: list[Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "_move", moving)
        try:
            events.extend(train(folder, job, control))
        except Killed:
            assert kill_in >= 0
    return events


def steered(events: Sequence[Event]) -> list[tuple[int, int, int]]:
    return [(e.number, e.step, e.epochs) for e in events if isinstance(e, Steered)]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, drawn_faces: Path) -> tuple[Path, list[Event]]:
    folder = tmp_path_factory.mktemp("steered")
    return folder, attempt(folder, drawn_faces, told=TOLD_IN_STEP)


def test_orders_hold_from_the_next_step_on(uninterrupted: tuple[Path, list[Event]]) -> None:
    _, events = uninterrupted
    assert steered(events) == [(1, 5, 2), (2, 10, 3)]
    ends = [e for e in events if isinstance(e, EpochEnd)]
    assert [e.epoch for e in ends] == [0, 1, 2]
    assert isinstance(events[-1], Finished)
    assert events[-1].result["epochs"] == 3
    plain = Schedule(CONFIG.optim, 7)
    assert ends[0].learning_rate == plain.rate(6) * 0.5


def test_a_steered_run_that_is_killed_ends_with_the_same_bits(
    tmp_path: Path, drawn_faces: Path, uninterrupted: tuple[Path, list[Event]]
) -> None:
    """Killed before, between and after its orders; each later process has those given so far in its file."""
    events = attempt(tmp_path, drawn_faces, told=TOLD_IN_STEP, kill_in=6)
    events += attempt(tmp_path, drawn_faces, (HALF,), told=TOLD_IN_STEP, kill_in=11)
    events += attempt(tmp_path, drawn_faces, (HALF, MORE), kill_in=16)
    events += attempt(tmp_path, drawn_faces, (HALF, MORE))
    there, told = uninterrupted
    assert set(steered(events)) == set(steered(told))
    assert epoch_ends(events) == epoch_ends(told)
    mine, theirs = read_state(tmp_path / LAST), read_state(there / LAST)
    for part in ("learner", "statistics", "norms"):
        assert same_tensors(mine[part], theirs[part]), part


def test_it_stops_after_the_epoch_and_goes_on_when_the_order_is_gone(
    tmp_path: Path, drawn_faces: Path
) -> None:
    events = attempt(tmp_path, drawn_faces, told={2: (STOP,)})
    assert [e.epoch for e in events if isinstance(e, EpochEnd)] == [0]
    assert events[-1] == Stopped(reason="It was to stop after epoch 1.", on_order=True)
    again = attempt(tmp_path, drawn_faces, (STOP,))  # a worker that died before it could say so
    assert [type(e) for e in again] == [Started, EpochEnd, Stopped]
    rest = attempt(tmp_path, drawn_faces)
    assert isinstance(rest[-1], Finished)

    # Finished, it is extended, and its test split is opened again only for other weights.
    assert read_state(tmp_path / LAST)["standing"]["epoch"] == 2
    more = attempt(tmp_path, drawn_faces, (MORE,))
    assert steered(more) == [(2, 14, 3)]
    assert list(epoch_ends(more)) == [1, 2]
    improved = epoch_ends(more)[2]["best"]
    assert any("opened again" in e.text for e in more if isinstance(e, Notice)) is improved
    assert sum(isinstance(e, Evaluated) for e in more) == 1
    assert isinstance(more[-1], Finished)
    card = json.loads((tmp_path / "model" / "model.json").read_text())["card"]
    assert card["test"] is not None
    assert (card["epoch"] == 2) is improved


def test_a_run_that_is_made_shorter_ends_as_if_it_had_been_planned_so(
    tmp_path: Path, drawn_faces: Path
) -> None:
    events = attempt(tmp_path, drawn_faces, told={2: (Order(number=1, do="extend", value=-5),)})
    assert steered(events) == [(1, 3, 1)], "the epoch that was begun is ended"
    assert [e.epoch for e in events if isinstance(e, EpochEnd)] == [0]
    assert sum(isinstance(e, Evaluated) for e in events) == 1
    assert isinstance(events[-1], Finished)
    again = attempt(tmp_path, drawn_faces, (Order(number=1, do="extend", value=-5),))
    assert again[-1] == events[-1]


def test_a_stopped_run_that_is_made_shorter_ends_with_what_it_has(tmp_path: Path, drawn_faces: Path) -> None:
    stopped = attempt(tmp_path, drawn_faces, told={2: (STOP,)})
    assert isinstance(stopped[-1], Stopped)
    events = attempt(tmp_path, drawn_faces, (Order(number=4, do="extend", value=-1),))
    assert not [e for e in events if isinstance(e, EpochEnd) and e.epoch > 0]
    assert sum(isinstance(e, Evaluated) for e in events) == 1
    assert isinstance(events[-1], Finished)
    assert events[-1].result["epochs"] == 1


# --- without a training ----------------------------------------------------------------------------


def test_the_rate_is_bent_from_a_step_on_and_comes_back_from_a_state() -> None:
    config = OptimConfig(schedule="cosine", epochs=10, warmup_steps=4, learning_rate=0.1)
    plain, bent = Schedule(config, 10), Schedule(config, 10)
    bent.bend(50, factor=0.25)
    bent.bend(80, epochs=20)
    longer = Schedule(OptimConfig(schedule="cosine", epochs=20, warmup_steps=4, learning_rate=0.1), 10)
    assert [bent.rate(s) for s in range(50)] == [plain.rate(s) for s in range(50)]
    assert [bent.rate(s) for s in range(50, 80)] == [0.25 * plain.rate(s) for s in range(50, 80)]
    assert [bent.rate(s) for s in range(80, 200)] == [0.25 * longer.rate(s) for s in range(80, 200)]
    again = Schedule(config, 10)
    again.restore(json.loads(json.dumps(bent.state())))
    assert [again.rate(s) for s in range(200)] == [bent.rate(s) for s in range(200)]


def after_orders(*told: tuple[int, str, float], kind: str = "cosine") -> Schedule:
    """A schedule of 12 epochs of 400 steps after orders (step, do, value), from a checkpoint after each."""
    config = OptimConfig(schedule=kind, epochs=12, warmup_steps=200, learning_rate=1e-3, plateau_epochs=1)
    schedule, standing = Schedule(config, 400), Standing()
    for number, (step, do, value) in enumerate(told, 1):
        standing.epoch = step // 400
        obey(Order(number=number, do=do, value=value), standing, schedule, step)
        kept = json.loads(json.dumps([schedule.state(), asdict(standing)]))
        schedule, standing = Schedule(config, 400), Standing(**kept[1])
        schedule.restore(kept[0])
    return schedule


def test_a_rate_that_was_set_goes_on_from_there_when_the_run_is_extended_at_once() -> None:
    schedule = after_orders((4600, "set_rate", 1e-4), (4600, "extend", 12))
    assert schedule.rate(4600) == pytest.approx(1e-4)
    rates = [schedule.rate(step) for step in range(4600, 9600)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-8


@pytest.mark.parametrize("extended_at", [4601, 4799, 4800])
def test_a_rate_that_was_set_is_the_largest_one_after_a_later_extension(extended_at: int) -> None:
    """Nor is it lost where the old schedule had come to nothing meanwhile: then nothing would be learned."""
    schedule = after_orders((4600, "set_rate", 1e-4), (extended_at, "extend", 6), (extended_at, "extend", 6))
    at_once = after_orders((4600, "extend", 12), (4600, "set_rate", 1e-4))
    for step in range(extended_at, 9600, 100):
        assert schedule.rate(step) == pytest.approx(at_once.rate(step))
        assert schedule.rate(step) <= 1e-4
    assert schedule.rate(4599) == after_orders().rate(4599)


def test_a_rate_set_at_the_very_end_holds_once_the_run_is_extended() -> None:
    schedule = after_orders((4800, "set_rate", 1e-4), (4800, "extend", 12))
    assert schedule.rate(4800) == pytest.approx(1e-4)


def test_a_rate_that_was_set_and_then_scaled_is_extended_as_scaled() -> None:
    told = ((1000, "set_rate", 5e-4), (2000, "scale_rate", 0.5), (4000, "extend", 12))
    planned = ((1000, "extend", 12), (1000, "set_rate", 5e-4), (2000, "scale_rate", 0.5))
    assert after_orders(*told).rate(4000) == pytest.approx(after_orders(*planned).rate(4000))


def test_a_cosine_that_is_made_shorter_ends_earlier_and_a_rate_that_was_set_holds() -> None:
    shorter, planned = (
        after_orders((1000, "extend", -6)),
        Schedule(OptimConfig(epochs=6, warmup_steps=200), 400),
    )
    assert shorter.epochs == 6
    assert [shorter.rate(s) for s in (1000, 1800, 2399)] == [planned.rate(s) for s in (1000, 1800, 2399)]
    assert shorter.rate(999) == after_orders().rate(999)
    told = after_orders((1000, "set_rate", 2e-4), (1001, "extend", -6))
    assert told.rate(1001) == pytest.approx(2e-4, rel=1e-2)
    assert told.rate(2399) < 1e-7


@pytest.mark.parametrize(("epoch", "batch", "epochs"), [(0, 0, 1), (0, 3, 1), (3, 0, 3), (3, 1, 4)])
def test_what_is_done_is_not_taken_away(epoch: int, batch: int, epochs: int) -> None:
    schedule = Schedule(OptimConfig(epochs=12), 10)
    told = obey(
        Order(number=1, do="extend", value=-100),
        Standing(epoch=epoch, batch=batch),
        schedule,
        epoch * 10 + batch,
    )
    assert (schedule.epochs, told.epochs) == (epochs, epochs)


@pytest.mark.parametrize("kind", ["constant", "exponential", "plateau"])
def test_an_extension_leaves_the_rate_of_schedules_that_know_no_end(kind: str) -> None:
    told = (4000, "set_rate", 1e-4)
    longer, same = after_orders(told, (4500, "extend", 12), kind=kind), after_orders(told, kind=kind)
    for schedule in (longer, same):
        schedule.epoch_ended(0.5)
        schedule.epoch_ended(0.4)
    assert longer.rate(4700) == pytest.approx(same.rate(4700))


@pytest.mark.parametrize(
    "order",
    [
        {"number": 1, "do": "extend", "value": 0.0},
        {"number": 1, "do": "extend", "value": 1.5},
        {"number": 1, "do": "scale_rate", "value": -1.0},
        {"number": 0, "do": "extend", "value": 1.0},
        {"number": 1, "do": "dance", "value": 1.0},
        {"number": 1, "do": "set_rate", "value": float("nan")},
        {"number": 1, "do": "extend"},
    ],
)
def test_orders_that_make_no_sense_are_refused(order: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        read_orders([order])


def test_orders_arrive_as_a_line_and_a_broken_line_changes_nothing() -> None:
    read_end, write_end = os.pipe()
    control = Control()
    control.listen_to_commands(read_end)
    lines: list[Any] = [{"do": "steer", "orders": [asdict(HALF)]}, {"do": "steer", "orders": [{"do": "x"}]}]
    with os.fdopen(write_end, "wb", buffering=0) as pipe:
        for line in [*lines, {"do": "steer"}, [], "steer"]:
            pipe.write(json.dumps(line).encode() + b"\n")
        wait_until(lambda: control.orders is not None, 60)
        assert not control.stop_requested()
    wait_until(control.stop_requested, 60)  # its end means that the parent is gone
    assert control.orders == (HALF,)
