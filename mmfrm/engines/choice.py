"""Which engine labels fastest here: measured once a model and machine, remembered, and replaced if it fails.

No torch unless a torch engine is measured or used.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmfrm.data.native import write_whole
from mmfrm.engines.base import Engine, EngineError, Faces
from mmfrm.engines.model_files import ModelFiles
from mmfrm.failures import JobError
from mmfrm.images import SIDE
from mmfrm.machine import allowed_threads, machine_identity

log = logging.getLogger(__name__)

BATCH_SIZE = 32
PROGRAMS = ("openvino", "torch")
MEASURED_SECONDS = 0.5


def open_engine(
    folder: Path,
    wanted: str = "auto",
    *,
    remembered: Path | None = None,
    threads: int = 0,
    batch_size: int = BATCH_SIZE,
) -> Engine:
    """The fastest engine for a model folder that answers as full precision does.

    `wanted`: auto, a program (openvino, torch) or an engine's full name (openvino-bf16; taken unchecked).
    `remembered`: a job's file that keeps the first choice, so that a resumed job answers to the digit
    as before. `threads` 0: as many as are allowed. Raises JobError where none works, or no model is there.
    """
    files = ModelFiles(folder)
    threads = threads or allowed_threads()
    for name in _by_preference(files, wanted, remembered, threads):
        try:
            engine = make_engine(files, name, threads=threads, batch_size=batch_size)
        except EngineError as error:
            log.warning("%s is passed over: %s", name, error)
            continue
        if remembered is not None and _remembered(remembered) != name:
            write_whole(remembered, json.dumps({"engine": name}))
        return engine
    remedy = (
        "choose auto" if wanted != "auto" else "reinstall the requirements (pip install --force-reinstall)"
    )
    raise JobError(f"No engine of kind {wanted} works here: {remedy}.")


def make_engine(files: ModelFiles, name: str, *, threads: int, batch_size: int) -> Engine:
    """The engine of that full name. Raises EngineError where it cannot work here."""
    program, _, precision = name.partition("-")
    try:
        if program == "openvino":
            from mmfrm.engines.openvino_engine import OpenVINOEngine

            return OpenVINOEngine(files, precision, threads=threads, batch_size=batch_size)
        if program == "torch":
            from mmfrm.engines.torch_engine import TorchEngine

            return TorchEngine(files, precision, threads=threads, batch_size=batch_size)
    except (ImportError, KeyError) as error:
        raise EngineError(f"{name} is not available ({error})") from error
    raise EngineError(f"{name} is no engine")


def available(files: ModelFiles, program: str) -> list[str]:
    """Engines of a program that this machine computes by hardware, most precise first; none without it."""
    try:
        if program == "openvino":
            from mmfrm.engines.openvino_engine import precisions
        else:
            from mmfrm.engines.torch_engine import precisions
        return [f"{program}-{precision}" for precision in precisions()]
    except (EngineError, ImportError) as error:
        log.warning("%s is passed over: %s", program, error)
        return []


def measure(engine: Engine, seconds: float = MEASURED_SECONDS) -> float:
    """Faces a second of an engine, warm, over about `seconds` and at least two batches."""
    faces = noise(engine.batch_size)
    engine.logits(faces)
    done = 0
    start = time.perf_counter()

    def batches() -> Iterator[Faces]:
        count = 0
        while count < 2 or time.perf_counter() - start < seconds:
            count += 1
            yield faces

    for logits in engine.stream(batches()):
        done += len(logits)
    return done / (time.perf_counter() - start)


def noise(count: int) -> Faces:
    """Faces (count, 112, 112, 3) of random pixels, for measuring speed."""
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def _by_preference(files: ModelFiles, wanted: str, remembered: Path | None, threads: int) -> list[str]:
    """Names to try, best first."""
    if "-" in wanted:
        return [wanted]
    first = _remembered(remembered) if remembered is not None else None
    names = [first] if first else []
    programs = PROGRAMS if wanted == "auto" else (wanted,)
    figures = measured(files, programs, threads)
    return [*names, *sorted(figures, key=figures.__getitem__, reverse=True), f"{programs[-1]}-fp32"]


def _remembered(path: Path) -> str | None:
    """The engine of an earlier attempt; None where there was none, or a power cut tore the file."""
    try:
        return str(json.loads(path.read_text())["engine"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measured(files: ModelFiles, programs: tuple[str, ...], threads: int) -> dict[str, float]:
    """Faces a second by engine, measured now where no earlier process has."""
    name = f"speed-{machine_identity(threads)}.json"
    known = files.remembered(name) or {}
    figures: dict[str, float] = known["figures"] if known.get("identity") == files.identity else {}
    wanted = [e for program in programs for e in _worth_measuring(files, program)]
    missing = [e for e in wanted if e not in figures]
    for engine_name in missing:
        figures[engine_name] = round(_speed(files, engine_name, threads), 1)
    if missing:
        files.remember(name, {"identity": files.identity, "threads": threads, "figures": figures})
    return {e: figures[e] for e in wanted if figures[e] > 0}


def _worth_measuring(files: ModelFiles, program: str) -> list[str]:
    """The accurate engines of a program; fp32 only where there is no other, since it is never faster."""
    if program == "torch" and not has_gpu() and _is_there("openvino"):
        # Eager torch was never faster on CPUs (tests/benchmarks/bench_predict.py), and is slow to import.
        return []
    accurate = [e for e in available(files, program) if files.is_accurate(e)]
    return [e for e in accurate if not e.endswith("-fp32")] or accurate


def _speed(files: ModelFiles, name: str, threads: int) -> float:
    """Faces a second, 0 where the engine does not work here."""
    try:
        engine = make_engine(files, name, threads=threads, batch_size=BATCH_SIZE)
    except EngineError as error:
        log.warning("%s is passed over: %s", name, error)
        return 0.0
    try:
        return measure(engine)
    finally:
        engine.close()


def has_gpu() -> bool:
    """Whether there may be a GPU that torch uses; cheap, and without importing torch."""
    return sys.platform == "darwin" or any(
        Path(p).exists() for p in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    )


def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
