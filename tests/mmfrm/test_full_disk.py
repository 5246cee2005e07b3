"""What the disk refuses: it is told as the system's errors are, and the job goes on once it is mended."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from mmfrm.checkpoint import save_model
from mmfrm.control import Control
from mmfrm.events import Checkpointed, EpochEnd, Event, Failed, Finished, read_events
from mmfrm.failures import explain
from mmfrm.jobs import DrawJob, TrainJob, write_job
from mmfrm.nn import FaceNetwork
from mmfrm.nn.landmark_weights import InputConvention, save_landmark_weights
from mmfrm.resume import LAST, write_state
from mmfrm.run import FAILED, FINISHED, execute
from mmfrm.variants import halve
from tests.mmfrm.training import drawn_faces, epoch_ends, smallest, trained

__all__ = ["drawn_faces"]  # a fixture

CONFIG = smallest().network


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to let a file grow beyond so many bytes (EFBIG), as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _a_model(folder: Path) -> None:
    save_model(folder, FaceNetwork(CONFIG, 2), classes=("a", "b"), config=CONFIG, card={})


def _a_checkpoint(folder: Path) -> None:
    write_state(folder / LAST, {"weights": torch.zeros(100_000)})


def _half_a_model(folder: Path) -> None:
    halve(folder / "whole", folder / "half")


def _landmark_weights(folder: Path) -> None:
    save_landmark_weights(folder / "points", {"weights": torch.zeros(100_000)}, InputConvention(), {})


@pytest.mark.parametrize("write", [_a_model, _a_checkpoint, _half_a_model, _landmark_weights])
def test_weights_that_the_disk_refuses_are_an_error_of_the_system(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    _a_model(tmp_path / "whole")
    with files_of_at_most(20_000), pytest.raises(OSError, match="File too large") as caught:
        write(tmp_path)
    assert caught.value.errno == errno.EFBIG
    assert Path(caught.value.filename).is_relative_to(tmp_path)
    assert explain(caught.value).resumable
    write(tmp_path)


@pytest.mark.parametrize("write", [_a_model, _a_checkpoint, _half_a_model, _landmark_weights])
def test_weights_may_be_read_by_whom_any_other_file_may(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    _a_model(tmp_path / "whole")
    before = os.umask(0o022)
    try:
        write(tmp_path)
    finally:
        os.umask(before)
    written = [p for p in tmp_path.rglob("*") if p.is_file() and "whole" not in p.parts]
    assert {p.name: oct(p.stat().st_mode & 0o777) for p in written} == {p.name: "0o644" for p in written}
    assert written


def test_a_training_that_cannot_save_says_why_and_goes_on_later(tmp_path: Path, drawn_faces: Path) -> None:
    config = smallest(network__width=0.5, optim__epochs=1)  # whose checkpoint is the largest file by far
    undisturbed = trained(tmp_path / "undisturbed", drawn_faces, config)
    folder = tmp_path / "run"
    told: list[Event] = []
    write_job(folder, TrainJob(data=str(drawn_faces), config=config))
    with files_of_at_most((tmp_path / "undisturbed" / LAST).stat().st_size // 2):
        assert execute(folder, told.append, Control()) == FAILED
    failed = told[-1]
    assert isinstance(failed, Failed)
    assert failed.resumable
    assert "File too large" in failed.message
    assert LAST in failed.message
    assert not [event for event in told if isinstance(event, Checkpointed | EpochEnd)]
    told.clear()
    assert execute(folder, told.append, Control()) == FINISHED
    assert epoch_ends(told) == epoch_ends(undisturbed)


def test_provenance_that_cannot_be_written_fails_the_job_and_is_told(tmp_path: Path) -> None:
    write_job(tmp_path, DrawJob(out=str(tmp_path / "faces"), count=40))
    (tmp_path / "provenance.json.part").mkdir()
    told: list[Event] = []
    assert execute(tmp_path, told.append, Control()) == FAILED
    failed = told[-1]
    assert isinstance(failed, Failed)
    assert failed.resumable
    assert "provenance.json.part" in failed.message
    assert read_events(tmp_path / "events.jsonl") == told
    (tmp_path / "provenance.json.part").rmdir()
    assert execute(tmp_path, told.append, Control()) == FINISHED


def test_a_folder_that_takes_no_events_fails_the_job_and_is_told(tmp_path: Path) -> None:
    write_job(tmp_path, DrawJob(out=str(tmp_path / "faces"), count=40))
    (tmp_path / "events.jsonl").mkdir()
    told: list[Event] = []
    assert execute(tmp_path, told.append, Control()) == FAILED
    assert "events.jsonl" in told[-1].payload()["message"]


def test_events_that_cannot_be_written_down_do_not_end_the_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_job(tmp_path, DrawJob(out=str(tmp_path / "faces"), count=40))
    events = tmp_path / "events.jsonl"
    events.touch()
    os.truncate(events, 50_000_000)  # a hole, up to where no file may grow
    told: list[Event] = []
    with files_of_at_most(50_000_000):
        assert execute(tmp_path, told.append, Control()) == FINISHED
    assert isinstance(told[-1], Finished)
    assert "events.jsonl: [Errno 27] File too large" in capsys.readouterr().err
