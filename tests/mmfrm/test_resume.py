"""An interrupted run goes on bit for bit as if nothing had happened, and torn checkpoints do no harm."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mmfrm import judge as judging
from mmfrm import keeper as keeper_module
from mmfrm.checkpoint import load_model
from mmfrm.config import TrainConfig
from mmfrm.control import Control
from mmfrm.events import (
    Checkpointed,
    EpochEnd,
    Evaluated,
    Event,
    Finished,
    Notice,
    Started,
    Stopped,
    from_line,
)
from mmfrm.failures import JobError
from mmfrm.jobs import TrainJob, write_job
from mmfrm.learner import Learner
from mmfrm.resume import (
    LAST,
    PREVIOUS,
    NotACheckpoint,
    read_state,
    restore_checkpoint,
    save_checkpoint,
    write_state,
)
from mmfrm.train import train
from tests.mmfrm.training import STEPS, drawn_faces, epoch_ends, same_tensors, smallest, trained

__all__ = ["drawn_faces"]  # a fixture

CONFIG = smallest(runtime__checkpoint_seconds=0.1)


class Killed(BaseException):
    """Stands for SIGKILL inside this process: nothing may catch it."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, drawn_faces: Path) -> tuple[Path, list[Event]]:
    """The run that the others must equal."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, trained(folder, drawn_faces, CONFIG)


def assert_equal_runs(folder: Path, events: list[Event], reference: tuple[Path, list[Event]]) -> None:
    there, told = reference
    assert isinstance(events[-1], Finished)
    assert epoch_ends(events) == epoch_ends(told)
    assert [e for e in events if isinstance(e, Evaluated)][-1] == [
        e for e in told if isinstance(e, Evaluated)
    ][-1]
    mine, theirs = read_state(folder / LAST), read_state(there / LAST)
    for part in ("learner", "statistics", "norms"):
        assert same_tensors(mine[part], theirs[part]), part
    mine_kept, theirs_kept = (load_model(f / "model").network.state_dict() for f in (folder, there))
    assert same_tensors(mine_kept, theirs_kept)


def kill_in_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Die in the middle of a step: gradients are there, some weights have moved, nothing is written."""
    original = Learner._move

    def dying(self: Learner) -> torch.Tensor:
        norm = original(self)
        if self.step_count == number:
            raise Killed
        return norm

    monkeypatch.setattr(Learner, "_move", dying)


@pytest.mark.parametrize("seed", range(5))
def test_a_run_killed_at_random_steps_ends_with_the_same_bits(
    tmp_path: Path, drawn_faces: Path, uninterrupted: tuple[Path, list[Event]], seed: int
) -> None:
    """Five runs, each killed in four random steps: twenty in all."""
    events: list[Event] = []
    for number in sorted(random.Random(seed).sample(range(STEPS), 4)):
        with pytest.MonkeyPatch.context() as patch:
            kill_in_step(patch, number)
            with pytest.raises(Killed):
                events.extend(train(tmp_path, TrainJob(data=str(drawn_faces), config=CONFIG), Control()))
    events += trained(tmp_path, drawn_faces, CONFIG)
    assert_equal_runs(tmp_path, events, uninterrupted)


def test_a_process_killed_by_sigkill_goes_on_to_the_same_bits(
    tmp_path: Path, drawn_faces: Path, uninterrupted: tuple[Path, list[Event]]
) -> None:
    write_job(tmp_path, TrainJob(data=str(drawn_faces), config=CONFIG))
    events: list[Event] = []
    for checkpoints in (1, 2):
        events += _run_until_killed(tmp_path, checkpoints)
    events += _run_until_killed(tmp_path, 1000)
    assert_equal_runs(tmp_path, events, uninterrupted)


def _run_until_killed(folder: Path, checkpoints: int) -> list[Event]:
    command = [sys.executable, "-m", "mmfrm", "run", str(folder), "--events", "json"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(from_line(line.decode()))
        if sum(isinstance(e, Checkpointed) for e in told) == checkpoints:
            process.send_signal(signal.SIGKILL)
            break
    process.wait(120)
    return told


def test_a_stopped_run_goes_on_to_the_same_bits(
    tmp_path: Path, drawn_faces: Path, uninterrupted: tuple[Path, list[Event]]
) -> None:
    control = Control()
    events: list[Event] = []
    for event in train(tmp_path, TrainJob(data=str(drawn_faces), config=CONFIG), control):
        events.append(event)
        if isinstance(event, Checkpointed):
            control.request_stop("somebody pressed stop")
    assert events[-1] == Stopped(reason="somebody pressed stop")
    events += trained(tmp_path, drawn_faces, CONFIG)
    assert_equal_runs(tmp_path, events, uninterrupted)


def test_a_run_killed_between_checkpoint_and_epoch_end_says_the_epoch_when_it_goes_on(
    tmp_path: Path,
    drawn_faces: Path,
    uninterrupted: tuple[Path, list[Event]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def saving_then_dying(folder: Path, state: Mapping[str, Any]) -> Path:
        path = save_checkpoint(folder, state)
        if state["standing"]["batch"] == 0:
            raise Killed
        return path

    job = TrainJob(data=str(drawn_faces), config=CONFIG)
    events: list[Event] = []
    with monkeypatch.context() as patch:
        patch.setattr(keeper_module, "save_checkpoint", saving_then_dying)
        with pytest.raises(Killed):
            events.extend(train(tmp_path, job, Control()))
    assert not epoch_ends(events)
    assert not (tmp_path / "model").exists()
    events += trained(tmp_path, drawn_faces, CONFIG)
    assert [e.epoch for e in events if isinstance(e, EpochEnd)] == [0, 1]
    assert_equal_runs(tmp_path, events, uninterrupted)


def test_a_finished_run_started_again_says_its_result_and_does_not_open_the_test_split_again(
    tmp_path: Path,
    drawn_faces: Path,
    uninterrupted: tuple[Path, list[Event]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(uninterrupted[0], folder)
    monkeypatch.setattr(judging, "measure", None)
    events = trained(folder, drawn_faces, CONFIG)
    assert isinstance(events[0], Started)
    assert events[0].resumed
    assert events[-2:] == uninterrupted[1][-2:]


def test_a_torn_checkpoint_is_named_and_the_previous_one_used(
    tmp_path: Path, drawn_faces: Path, uninterrupted: tuple[Path, list[Event]]
) -> None:
    events = trained(tmp_path, drawn_faces, CONFIG, until=lambda e: isinstance(e, EpochEnd))
    last = tmp_path / LAST
    last.write_bytes(last.read_bytes()[:-1000])
    more = trained(tmp_path, drawn_faces, CONFIG)
    notices = [e.text for e in more if isinstance(e, Notice)]
    assert any("last.ckpt is torn" in text for text in notices)
    assert_equal_runs(tmp_path, events + more, uninterrupted)


# --- the files themselves --------------------------------------------------------------------------

TREE = {
    "numbers": [1, 2.5, float("inf"), None, True, "text"],
    "by integer": {0: torch.arange(3), 7: {"step": torch.tensor(4.0)}},
    "bf16": torch.tensor([1.0, -0.5]).bfloat16(),
    "empty": torch.zeros(0),
    "channels-last": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
}


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    write_state(tmp_path / "x.ckpt", TREE)
    assert same_tensors(read_state(tmp_path / "x.ckpt"), TREE)


def _spoilt(whole: bytes) -> Iterator[tuple[str, bytes]]:
    yield "torn or no checkpoint", whole[: len(whole) // 2]
    yield "torn or no checkpoint", b""
    yield "torn or no checkpoint", b"\x80\x04\x95 a pickle, which nobody loads"
    yield "damaged", whole[:-1] + bytes([whole[-1] ^ 1])


def test_spoilt_files_are_named_with_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / LAST
    write_state(path, TREE)
    for words, content in _spoilt(path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(NotACheckpoint, match=rf"last\.ckpt.*{words}"):
            read_state(path)


def test_a_foreign_safetensors_file_is_named(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / LAST)
    with pytest.raises(NotACheckpoint, match=r"last\.ckpt is not a checkpoint of this program"):
        read_state(tmp_path / LAST)


def test_the_checkpoint_before_the_last_is_kept(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"number": 1})
    save_checkpoint(tmp_path, {"number": 2})
    assert read_state(tmp_path / PREVIOUS) == {"number": 1}
    (tmp_path / LAST).unlink()  # killed between the two renames
    assert restore_checkpoint(tmp_path).state == {"number": 1}


def test_a_folder_without_checkpoints_has_nothing_to_restore(tmp_path: Path) -> None:
    assert restore_checkpoint(tmp_path).state is None


def test_a_thing_that_has_no_place_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a\.0: a PosixPath has no place"):
        write_state(tmp_path / "x.ckpt", {"a": [tmp_path]})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (smallest(optim__learning_rate=0.5), "optim.learning_rate was 0.001 and is 0.5"),
        (smallest(data__max_train=40), "data.max_train was 56 and is 40"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(
    tmp_path: Path,
    drawn_faces: Path,
    uninterrupted: tuple[Path, list[Event]],
    config: TrainConfig,
    words: str,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(uninterrupted[0], folder)
    with pytest.raises(JobError, match=words):
        trained(folder, drawn_faces, config)
