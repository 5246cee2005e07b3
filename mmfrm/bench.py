"""Measure this machine: a training step and every engine of prediction, in images a second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from mmfrm.checkpoint import load_model, save_model
from mmfrm.classes import EXPRESSIONS
from mmfrm.config import NetworkConfig, RuntimeConfig, TrainConfig
from mmfrm.control import Control
from mmfrm.data.native import write_whole
from mmfrm.engines.base import EngineError
from mmfrm.engines.choice import BATCH_SIZE, PROGRAMS, available, make_engine, measure, noise
from mmfrm.engines.int8 import quantise
from mmfrm.engines.model_files import ModelFiles
from mmfrm.events import Event, Finished, Notice, Progress, Started, Stopped
from mmfrm.images import SIDE
from mmfrm.jobs import BenchJob
from mmfrm.machine import allowed_threads, cpu_name
from mmfrm.nn import FaceNetwork
from mmfrm.rehearsal import Rehearsal
from mmfrm.runtime import has_fast_bf16, prepare
from mmfrm.settings import replace
from mmfrm.versions import versions

CALIBRATION_FACES = 32  # of noise: the speed of int8 does not depend on what it is calibrated with


@dataclass(frozen=True)
class Figure:
    """One measurement."""

    what: str  # training | prediction
    engine: str
    batch_size: int
    images_per_second: float


def bench(folder: Path, job: BenchJob, control: Control) -> Iterator[Event]:
    """Do a BenchJob: writes bench.json, and says each figure as it comes and a table at the end."""
    model = Path(job.model) if job.model else _untrained(folder / "untrained")
    threads = allowed_threads()
    yield Started(facts={"cpu": cpu_name().split(" | ")[0], "threads": threads})
    figures: list[Figure] = []
    tasks = list(_tasks(model, is_ours=not job.model))
    for done, (what, engine, batch_size) in enumerate(tasks):
        yield Progress(done=done, total=len(tasks), unit="figures", phase=f"{what}, {engine}")
        if control.stop_requested():
            yield Stopped(reason=control.reason)
            return
        try:
            rate = _measured(model, what, engine, batch_size=batch_size, seconds=job.seconds)
        except EngineError as error:
            yield Notice(text=f"{engine}: {error}", level="warning")
            continue
        figures.append(Figure(what, engine, batch_size, round(rate, 1)))
    yield Progress(done=len(tasks), total=len(tasks), unit="figures")
    _write(folder / "bench.json", figures, threads)
    shutil.rmtree(folder / "untrained", ignore_errors=True)
    for line in table(figures):
        yield Notice(text=line)
    best = max((f for f in figures if f.what == "prediction"), key=lambda f: f.images_per_second)
    yield Finished(
        result={
            "figures": "bench.json",
            "fastest": best.engine,
            "images_per_second": best.images_per_second,
            "training_images_per_second": max(f.images_per_second for f in figures if f.what == "training"),
        }
    )


def table(figures: list[Figure]) -> list[str]:
    """The figures as lines of text in columns."""
    head = f"{'':<12}{'engine':<16}{'batch':>6}{'images/s':>10}"
    return [
        head,
        *(f"{f.what:<12}{f.engine:<16}{f.batch_size:>6}{f.images_per_second:>10.1f}" for f in figures),
    ]


def _tasks(model: Path, *, is_ours: bool) -> Iterator[tuple[str, str, int]]:
    yield "training", "torch-fp32", BATCH_SIZE
    if has_fast_bf16(torch.device("cuda" if torch.cuda.is_available() else "cpu")):
        yield "training", "torch-bf16", BATCH_SIZE
    files = ModelFiles(model)
    for program in PROGRAMS:
        for engine in available(files, program):
            if engine == "openvino-int8" and is_ours:
                _quantise_on_noise(files)
            for batch_size in (1, BATCH_SIZE):
                yield "prediction", engine, batch_size


def _quantise_on_noise(files: ModelFiles) -> None:
    try:
        quantise(files, noise(CALIBRATION_FACES))
    except EngineError:
        return  # without nncf there is no int8 to measure, which its figure's absence says


def _measured(model: Path, what: str, engine: str, *, batch_size: int, seconds: float) -> float:
    if what == "training":
        return training_speed(model, engine.removeprefix("torch-"), batch_size, seconds)
    made = make_engine(ModelFiles(model), engine, threads=allowed_threads(), batch_size=batch_size)
    try:
        return measure(made, seconds)
    finally:
        made.close()


def training_speed(model: Path, precision: str, batch_size: int, seconds: float) -> float:
    """Images a second that a run of this model's kind would learn from, without reading data."""
    loaded = load_model(model)
    runtime = prepare(RuntimeConfig(precision=precision))
    config = replace(TrainConfig(network=loaded.config), {"optim.batch_size": batch_size})
    rehearsal = Rehearsal(loaded.network, config, classes=len(loaded.classes), runtime=runtime)
    for _ in rehearsal.warm(SIDE, seconds):
        pass
    return 1 / rehearsal.seconds


def _untrained(folder: Path) -> Path:
    """A network of the paper's size with random weights: as fast as a trained one."""
    if not (folder / "model.json").is_file():
        config = NetworkConfig()
        network = FaceNetwork(config, len(EXPRESSIONS)).eval()
        save_model(folder, network, classes=EXPRESSIONS, config=config, card={"trained": False})
    return folder


def _write(path: Path, figures: list[Figure], threads: int) -> None:
    content = {
        "cpu": cpu_name().split(" | ")[0],
        "threads": threads,
        "versions": versions(),
        "figures": [asdict(f) for f in figures],
    }
    write_whole(path, json.dumps(content, indent=2) + "\n")
