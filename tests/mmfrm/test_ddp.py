"""Two processes that train together see the loss curve of one."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import spawn

from mmfrm.ddp import Group, group, synchronize_norms
from mmfrm.events import EpochEnd, Event, Finished, Started, Steered, StepDone, Stopped, from_line
from mmfrm.jobs import TrainJob, write_job
from mmfrm.loss import Criterion
from mmfrm.nn import build_network
from mmfrm.settings import replace
from tests.mmfrm.training import drawn_faces, epoch_ends, smallest, trained

__all__ = ["drawn_faces"]  # a fixture

# What each process draws for itself (augmentation, dropout) is off: only the arithmetic is compared.
CONFIG = smallest(
    network__dropout=0.0,
    augment__flip=False,
    augment__rotate=0.0,
    augment__scale=0.0,
    augment__shift=0.0,
    augment__contrast=0.0,
    augment__erase=0.0,
    data__max_train=45,  # the last batch is a smaller one, and odd
    data__max_eval=23,  # an odd number: the processes' parts differ in size
    loss__rfloss_start=0.0,
    loss__class_weights="sqrt",
    runtime__precision="fp32",
    # Gentle steps, since in fp32 rounding alone moves a curve of such small batches by 1e-2 otherwise;
    # that the arithmetic is the same is tested in float64 below.
    optim__optimizer="sgd",
    optim__learning_rate=0.002,
    optim__batch_size=24,
)
NO_CHANGE = {"number": 1, "do": "scale_rate", "value": 1.0}


def torchrun(folder: Path, processes: int = 2, **options: Any) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    command += ["-m", "mmfrm", "run", str(folder), "--events", "json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, **options
    )


def read(process: subprocess.Popen[str]) -> list[Event]:
    assert process.stdout is not None
    return [from_line(line) for line in process.stdout if line.startswith("{")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, drawn_faces: Path) -> list[Event]:
    return trained(tmp_path_factory.mktemp("alone"), drawn_faces, CONFIG)


def test_two_processes_have_the_loss_curve_of_one_also_after_a_stop(
    tmp_path: Path, drawn_faces: Path, alone: list[Event]
) -> None:
    write_job(tmp_path, TrainJob(data=str(drawn_faces), config=CONFIG))
    process = torchrun(tmp_path)
    assert process.stdout is not None
    together: list[Event] = []
    for line in process.stdout:
        if line.startswith("{"):
            together.append(from_line(line))
        if together and isinstance(together[-1], Started):
            assert process.stdin is not None
            process.stdin.write(json.dumps({"do": "steer", "orders": [NO_CHANGE]}) + "\n")
            process.stdin.flush()
        if together and isinstance(together[-1], EpochEnd):
            assert process.stdin is not None
            process.stdin.write('{"do":"stop"}\n')
            process.stdin.flush()
            break
    together += read(process)
    process.wait(120)
    assert isinstance(together[-1], Stopped)
    together += read(again := torchrun(tmp_path))
    assert again.wait(120) == 0
    assert isinstance(together[-1], Finished)
    # Only rank 0 was told; without the other's consent they would wait for each other for ever.
    assert {e.number for e in together if isinstance(e, Steered)} == {1}
    mine, theirs = epoch_ends(together), epoch_ends(alone)
    assert mine.keys() == theirs.keys()
    for epoch, end in mine.items():
        for split in ("train", "val"):
            assert end[split]["count"] == theirs[epoch][split]["count"]
            for figure in ("loss", "cross_entropy", "rfloss", "alpha_mean"):
                assert end[split][figure] == pytest.approx(theirs[epoch][split][figure], abs=1e-3), figure


def test_two_processes_have_the_released_rfloss_of_one_before_and_after_it_starts(
    tmp_path: Path, drawn_faces: Path
) -> None:
    """It is a sum over the batch, so that each process alone would have a part of it only."""
    config = replace(CONFIG, {"loss.rfloss": "released", "loss.rfloss_start": 0.5})
    write_job(tmp_path, TrainJob(data=str(drawn_faces), config=config))
    process = torchrun(tmp_path)
    mine = epoch_ends(read(process))
    assert process.wait(120) == 0
    theirs = epoch_ends(trained(tmp_path / "alone", drawn_faces, config))
    assert list(mine) == list(theirs) == [0, 1]
    for epoch, split, figure in itertools.product((0, 1), ("train", "val"), ("loss", "rfloss")):
        expected = theirs[epoch][split][figure]
        assert mine[epoch][split][figure] == pytest.approx(expected, abs=1e-3), (epoch, split, figure)


def _as_rank(rank: int, port: int) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)


def _learned(processes: Group) -> dict[str, torch.Tensor]:
    """Losses of ten steps and the weights after them, in float64.

    There only a fault of the arithmetic can show: in fp32, rounding grows a hundredfold a step where
    Adam divides by gradients that should vanish (biases before norms).
    """
    torch.manual_seed(0)
    network = build_network(CONFIG.network, 7).expression.double()
    if processes.world > 1:
        synchronize_norms(network, torch.device("cpu"))
    forward = processes.wrap(network, torch.device("cpu"))
    criterion = Criterion(CONFIG.loss, torch.arange(1.0, 8.0)).double()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    images, labels = torch.randn(7, 3, 112, 112, dtype=torch.float64), torch.arange(7)
    mine = processes.part_of(torch.arange(7))
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        _, logits = forward(images[mine], None, None, None)
        loss = criterion(logits, labels[mine], True).total * (len(mine) * processes.world / 7)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach() / processes.world)
    curve = torch.stack(losses)
    if processes.world > 1:
        torch.distributed.all_reduce(curve)
    return {"losses": curve, **network.state_dict()}


def _learn_half(rank: int, port: int, results: Path) -> None:
    _as_rank(rank, port)
    with group(torch.device("cpu")) as processes:
        torch.save(_learned(processes), results / f"{rank}.pt")


def test_steps_of_two_processes_are_exactly_those_of_one(tmp_path: Path) -> None:
    spawn(_learn_half, (_free_port(), tmp_path), nprocs=2)  # type: ignore[no-untyped-call]
    expected = _learned(Group())
    assert expected["losses"][-1] < expected["losses"][0] - 0.1
    for rank in (0, 1):  # parts of 4 and 3 images
        learned = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(learned["losses"], expected["losses"], rtol=1e-7, atol=1e-7)
        for name in ("conv1.weight", "layer4.0.conv1.weight", "cov3.conv.0.running_var", "fc.weight"):
            torch.testing.assert_close(learned[name], expected[name], rtol=1e-6, atol=1e-7, msg=name)


def _norm_of_half(rank: int, port: int, x: torch.Tensor, results: Path) -> None:
    _as_rank(rank, port)
    with group(torch.device("cpu")) as processes:
        norm = synchronize_norms(nn.Sequential(nn.BatchNorm2d(3)), torch.device("cpu"))
        mine = processes.part_of(x).clone().requires_grad_()
        out = norm(mine)
        (out.square() * torch.linspace(1, 2, 7)).sum().backward()
        torch.save({"out": out.detach(), "grad": mine.grad, **norm.state_dict()}, results / f"{rank}.pt")


def test_norms_of_two_processes_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = 5 + 3 * torch.randn(5, 3, 7, 7)  # parts of 3 and 2 images
    spawn(_norm_of_half, (_free_port(), x, tmp_path), nprocs=2)  # type: ignore[no-untyped-call]
    norm = nn.Sequential(nn.BatchNorm2d(3))
    whole = x.clone().requires_grad_()
    out = norm(whole)
    (out.square() * torch.linspace(1, 2, 7)).sum().backward()
    assert whole.grad is not None
    for rank in (0, 1):
        part = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(part["out"], out.detach()[rank::2])
        torch.testing.assert_close(part["grad"], whole.grad[rank::2])
        torch.testing.assert_close(part["0.running_mean"], norm.state_dict()["0.running_mean"])
        torch.testing.assert_close(part["0.running_var"], norm.state_dict()["0.running_var"])


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_process_alone_is_a_group_of_one() -> None:
    with group(torch.device("cpu")) as processes:
        assert processes == Group(rank=0, world=1)
        assert processes.speaks
        assert processes.agree(True, False) == (True, False)


def test_steps_are_told_once_however_many_processes_there_are(alone: list[Event]) -> None:
    steps = [e.step for e in alone if isinstance(e, StepDone)]
    assert steps == sorted(set(steps))
