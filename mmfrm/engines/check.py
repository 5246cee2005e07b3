"""What reduced precision changes: measured on real faces, written beside the model, and obeyed ever after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmfrm.engines.base import Engine, EngineError, Faces, Logits
from mmfrm.engines.choice import BATCH_SIZE, PROGRAMS, available, make_engine
from mmfrm.engines.model_files import ModelFiles
from mmfrm.events import Event
from mmfrm.machine import allowed_threads
from mmfrm.progress import Meter

MOST_CHANGE = 0.002  # of accuracy: 0.2 points
Targets = np.ndarray[Any, np.dtype[np.int64]]  # (n,)


def check_precision(
    folder: Path,
    faces: Faces,
    targets: Targets | None = None,
    *,
    progress: Callable[[Event], None] | None = None,
    stop_requested: Callable[[], bool] | None = None,
) -> dict[str, dict[str, Any]]:
    """Compare every reduced-precision engine of this machine with fp32, and write it into model.json.

    `faces` (n, 112, 112, 3) uint8 that the model was not trained on, `targets` (n,) their classes. An engine
    is accurate where accuracy changes by at most 0.2 points; without targets, where at least 99.8 % of the
    predicted classes stay. Returns the figures by engine name; what was measured before a stop is kept.
    """
    files = ModelFiles(folder)
    names = [name for program in PROGRAMS for name in available(files, program)]
    exact = next(name for name in names if name.endswith("-fp32"))
    reduced = [name for name in names if not name.endswith("-fp32")]
    meter = Meter(len(faces) * (1 + len(reduced)), phase="checking precision")

    def answers(name: str) -> Logits | None:
        engine = make_engine(files, name, threads=allowed_threads(), batch_size=BATCH_SIZE)
        try:
            return _logits(engine, faces, meter, progress=progress, stop_requested=stop_requested)
        finally:
            engine.close()

    reference = answers(exact)
    checks: dict[str, dict[str, Any]] = {}
    for name in reduced if reference is not None else ():
        try:
            logits = answers(name)
        except EngineError:
            continue  # no int8 version of this model: nothing to check
        if logits is None or reference is None:
            break
        checks[name] = figures_of(logits, reference, targets)
    files.write_checks(checks)
    return checks


def figures_of(logits: Logits, reference: Logits, targets: Targets | None) -> dict[str, Any]:
    """How an engine's answers (n, K) differ from those in full precision."""
    chosen, expected = logits.argmax(1), reference.argmax(1)
    agreement = float((chosen == expected).mean())
    difference = float(np.abs(softmax(logits) - softmax(reference)).max())
    figures = {"faces": len(logits), "agreement": agreement, "largest_difference": round(difference, 6)}
    if targets is None:
        return figures | {"is_accurate": agreement >= 1 - MOST_CHANGE}
    right, expected_right = int((chosen == targets).sum()), int((expected == targets).sum())
    change = (right - expected_right) / len(logits)
    return figures | {
        "accuracy": right / len(logits),
        "accuracy_fp32": expected_right / len(logits),
        "change_points": round(100 * change, 3),
        "is_accurate": abs(change) <= MOST_CHANGE,
    }


def softmax(logits: Logits) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Probabilities (n, K) of logits (n, K)."""
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    share: np.ndarray[Any, np.dtype[np.float64]] = weights / weights.sum(axis=1, keepdims=True)
    return share


def _logits(
    engine: Engine,
    faces: Faces,
    meter: Meter,
    *,
    progress: Callable[[Event], None] | None,
    stop_requested: Callable[[], bool] | None,
) -> Logits | None:
    """An engine's logits (n, K), None where a stop was requested on the way."""
    found: list[Logits] = []
    batches = (faces[i : i + BATCH_SIZE] for i in range(0, len(faces), BATCH_SIZE))
    for logits in engine.stream(batches):
        found.append(logits)
        meter.add(len(logits))
        if progress is not None and meter.is_due():
            progress(meter.say())
        if stop_requested is not None and stop_requested():
            return None
    return np.concatenate(found)
