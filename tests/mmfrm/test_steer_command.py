"""Orders from the command line are heard by a training that runs there, and it remembers them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from mmfrm.__main__ import main
from mmfrm.control import Control
from mmfrm.events import EpochEnd, Event, Steered, read_events
from mmfrm.jobs import TrainJob, write_job
from mmfrm.learner import Learner
from mmfrm.resume import LAST, read_state
from mmfrm.run import FINISHED, execute, run_folder
from mmfrm.steering import Order
from mmfrm.terminal import Screen
from tests.mmfrm.training import drawn_faces, epoch_ends, same_tensors, smallest

__all__ = ["drawn_faces"]  # a fixture

CONFIG = smallest()  # 7 steps an epoch, 2 epochs
ORDERS = ("--scale-rate", "0.5", "--extend", "1")


class Killed(BaseException):
    """Stands for SIGKILL inside this process: nothing may catch it."""


def steering_at_the_end_of(
    epoch: int, folder: Path, tell: Callable[..., None], orders: Sequence[str] = ORDERS
) -> Callable[..., None]:
    """Told that an epoch has ended, somebody steers the training by the command."""

    def telling(*given: Event | Screen) -> None:
        tell(*given)
        if isinstance(given[-1], EpochEnd) and given[-1].epoch == epoch:
            assert main(["steer", str(folder), *orders]) == FINISHED

    return telling


def run_and_steer(
    folder: Path, faces: Path, *, epoch: int = 0, orders: Sequence[str] = ORDERS, kill_in: int = -1
) -> list[Event]:
    """As `python -m mmfrm train` runs it, steered meanwhile and perhaps killed; what it wrote down."""
    write_job(folder, TrainJob(data=str(faces), config=CONFIG))
    original = Learner._move

    def moving(self: Learner) -> torch.Tensor:
        if self.step_count == kill_in:
            raise Killed
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Screen, "tell", steering_at_the_end_of(epoch, folder, Screen.tell, orders))
        patch.setattr(Learner, "_move", moving)
        if kill_in < 0:
            assert run_folder(folder, events="bar") == FINISHED
        else:
            with pytest.raises(Killed):
                run_folder(folder, events="bar")
    return read_events(folder / "events.jsonl")


def steered(events: Sequence[Event]) -> list[tuple[str, int, int]]:
    return [(e.do, e.step, e.epochs) for e in events if isinstance(e, Steered)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, drawn_faces: Path) -> tuple[Path, list[Event]]:
    folder = tmp_path_factory.mktemp("steered") / "run"
    return folder, run_and_steer(folder, drawn_faces)


def test_a_training_takes_up_orders_when_its_epoch_ends(undisturbed: tuple[Path, list[Event]]) -> None:
    _, events = undisturbed
    assert steered(events) == [("extend", 7, 3), ("scale_rate", 7, 3)]
    assert list(epoch_ends(events)) == [0, 1, 2]


@pytest.mark.parametrize("step", [8, 15])
def test_killed_after_its_orders_it_ends_with_the_same_bits(
    tmp_path: Path, drawn_faces: Path, undisturbed: tuple[Path, list[Event]], step: int
) -> None:
    there, told = undisturbed
    run_and_steer(tmp_path, drawn_faces, kill_in=step)
    assert run_folder(tmp_path, events="bar") == FINISHED
    events = read_events(tmp_path / "events.jsonl")
    assert set(steered(events)) == set(steered(told))
    assert epoch_ends(events) == epoch_ends(told)
    mine, theirs = read_state(tmp_path / LAST), read_state(there / LAST)
    for part in ("learner", "statistics", "norms"):
        assert same_tensors(mine[part], theirs[part]), part


def test_steered_at_its_very_end_it_is_extended(tmp_path: Path, drawn_faces: Path) -> None:
    events = run_and_steer(tmp_path, drawn_faces, epoch=1, orders=("--extend", "1"))
    assert steered(events) == [("extend", 14, 3)]
    assert list(epoch_ends(events)) == [0, 1, 2]


def test_made_shorter_it_ends_with_the_epoch_and_the_words_say_so(
    tmp_path: Path, drawn_faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = run_and_steer(tmp_path, drawn_faces, orders=("--extend", "-1"))
    assert list(epoch_ends(events)) == [0]
    said = capsys.readouterr().out
    assert "1 fewer epoch\nTaken up when the epoch ends, if the training runs now.\n" in said
    assert f"Otherwise taken up by: python -m mmfrm run {tmp_path}\n" in said


def test_a_training_that_a_program_started_hears_only_that_program(tmp_path: Path, drawn_faces: Path) -> None:
    """Its orders have numbers of their own, which those of another would take away."""
    write_job(tmp_path, TrainJob(data=str(drawn_faces), config=CONFIG))
    told: list[Event] = []
    assert execute(tmp_path, steering_at_the_end_of(0, tmp_path, told.append), Control()) == FINISHED
    assert not steered(told)
    assert list(epoch_ends(told)) == [0, 1]


def test_a_file_that_is_spoilt_or_gone_leaves_the_orders_as_they_are(tmp_path: Path) -> None:
    path, control = tmp_path / "job.json", Control()
    order = Order(number=1, do="extend", value=1)
    control.look_into(path)
    write_job(tmp_path, TrainJob(data="faces", steering=[asdict(order)]))
    control.look()
    assert control.orders == (order,)
    for spoilt in (
        "",
        "[]",
        '{"steering": 1}',
        '{"steering": [{"do": "dance"}]}',
        json.dumps({"kind": "train"}),
    ):
        path.write_text(spoilt)
        control.look()
        assert control.orders == (order,), spoilt
    path.unlink()
    control.look()
    assert control.orders == (order,)
