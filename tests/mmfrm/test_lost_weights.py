"""Weights that are no numbers are never kept, so that a run can go on from before they were lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from mmfrm.control import Control
from mmfrm.events import EpochEnd, Event, Finished
from mmfrm.failures import JobError
from mmfrm.jobs import TrainJob
from mmfrm.learner import Learner
from mmfrm.resume import LAST, PREVIOUS, read_state
from mmfrm.train import train
from tests.mmfrm.training import STEPS, drawn_faces, epoch_ends, same_tensors, smallest, trained

__all__ = ["drawn_faces"]  # a fixture

CONFIG = smallest(runtime__precision="fp32", runtime__checkpoint_seconds=600.0)
LAST_OF_EPOCH = STEPS // 2 - 1


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, drawn_faces: Path) -> tuple[Path, list[Event]]:
    """The run that the others must equal in the end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, trained(folder, drawn_faces, CONFIG)


@contextmanager
def in_step(number: int, what: str, act: Callable[[Learner], None]) -> Iterator[None]:
    """Let something happen to a learner in one step, after its part `what`: `_backward` or `_move`."""
    original = getattr(Learner, what)

    def acting(self: Learner, *given: Any) -> Any:
        answer = original(self, *given)
        if self.step_count == number:
            act(self)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, what, acting)
        yield


def overflow(learner: Learner) -> None:
    """A gradient that is too large for its format: the loss before it is a number like any other."""
    gradient = learner._trained[0].grad
    assert gradient is not None
    gradient.fill_(float("inf"))


def require_good_checkpoints(folder: Path) -> None:
    for name in (LAST, PREVIOUS):
        if (folder / name).exists():
            state = read_state(folder / name)["learner"]["network"]
            assert all(values.isfinite().all() for values in state.values()), name


def goes_on_as_undisturbed(folder: Path, faces: Path, undisturbed: tuple[Path, list[Event]]) -> None:
    there, told = undisturbed
    events = trained(folder, faces, CONFIG)
    assert isinstance(events[-1], Finished)
    ends = epoch_ends(events)
    assert ends == {epoch: end for epoch, end in epoch_ends(told).items() if epoch in ends}
    assert same_tensors(read_state(folder / LAST)["learner"], read_state(there / LAST)["learner"])


@pytest.mark.parametrize("step", [LAST_OF_EPOCH, STEPS - 1])
def test_a_gradient_that_overflows_in_the_last_step_of_an_epoch_is_noticed_before_it_is_kept(
    tmp_path: Path, drawn_faces: Path, undisturbed: tuple[Path, list[Event]], step: int
) -> None:
    with in_step(step, "_backward", overflow), pytest.raises(JobError, match="no longer a number") as caught:
        trained(tmp_path, drawn_faces, CONFIG)
    assert caught.value.resumable
    require_good_checkpoints(tmp_path)
    goes_on_as_undisturbed(tmp_path, drawn_faces, undisturbed)


def test_a_gradient_that_overflows_before_a_checkpoint_that_is_due_is_noticed(
    tmp_path: Path, drawn_faces: Path, undisturbed: tuple[Path, list[Event]]
) -> None:
    control = Control()

    def overflow_and_stop(learner: Learner) -> None:
        overflow(learner)
        control.request_stop("somebody pressed stop")

    with in_step(3, "_backward", overflow_and_stop), pytest.raises(JobError, match="loss or its gradient"):
        list(train(tmp_path, TrainJob(data=str(drawn_faces), config=CONFIG), control))
    require_good_checkpoints(tmp_path)
    goes_on_as_undisturbed(tmp_path, drawn_faces, undisturbed)


def test_weights_that_only_validation_shows_to_be_lost_are_not_kept(
    tmp_path: Path, drawn_faces: Path, undisturbed: tuple[Path, list[Event]]
) -> None:
    """Learning looks at the norms of a batch, validation at what the network remembers of them."""

    def forget(learner: Learner) -> None:
        dict(learner.network.named_buffers())["expression.layer1.0.bn1.running_mean"].fill_(float("nan"))

    with in_step(STEPS - 1, "_move", forget), pytest.raises(JobError, match="no longer a number"):
        trained(tmp_path, drawn_faces, CONFIG)
    require_good_checkpoints(tmp_path)
    goes_on_as_undisturbed(tmp_path, drawn_faces, undisturbed)


def test_fp16_leaves_out_a_step_that_overflows_and_goes_on(tmp_path: Path, drawn_faces: Path) -> None:
    with in_step(LAST_OF_EPOCH, "_backward", overflow):
        events = trained(tmp_path, drawn_faces, smallest(runtime__precision="fp16"))
    assert isinstance(events[-1], Finished)
    assert [event.epoch for event in events if isinstance(event, EpochEnd)] == [0, 1]
    require_good_checkpoints(tmp_path)


@pytest.mark.parametrize(("before", "after"), [("fp32", "fp16"), ("bf16", "fp16"), ("fp16", "fp32")])
def test_a_run_goes_on_in_another_precision(
    tmp_path: Path, drawn_faces: Path, before: str, after: str
) -> None:
    config = smallest(runtime__precision=before)
    trained(tmp_path, drawn_faces, config, until=lambda event: isinstance(event, EpochEnd))
    events = trained(tmp_path, drawn_faces, smallest(runtime__precision=after))
    assert isinstance(events[-1], Finished)
    assert torch.tensor(epoch_ends(events)[1]["val"]["cross_entropy"]).isfinite()
