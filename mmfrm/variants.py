"""Model folders made of others: at half the size, or without some of the classes. No torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from mmfrm.engines.model_files import ModelFiles
from mmfrm.failures import JobError
from mmfrm.weight_files import saving

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
LAST_LAYER = ("expression.fc.weight", "expression.fc.bias")  # (K, C) and (K,): a row a class
SMALL = 1000  # values; what has fewer (norms, biases, means of the input) keeps its precision

Tensors = dict[str, np.ndarray[Any, Any]]


def halve(source: Path, target: Path) -> None:
    """Write the model of `source` to the folder `target` with its large weights as 16-bit floats.

    Whoever loads it computes as before, with weights rounded to about one part in 2,000.
    """
    _make(source, target, _halved, {})


def leave_out(source: Path, target: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Write the model of `source` to `target` without these classes; returns those that are left.

    A softmax over fewer logits is the old one with the rest scaled to 1, so nothing is learned anew. Raises
    JobError where a class is not one of the model, or fewer than two would be left.
    """
    classes = ModelFiles(source).classes
    unknown = [name for name in names if name not in classes]
    kept = [k for k, name in enumerate(classes) if name not in names]
    if unknown or len(kept) < 2:
        reason = f"has no class {', '.join(unknown)}" if unknown else "needs two classes at least"
        raise JobError(f"This model {reason}. Its classes: {', '.join(classes)}.", resumable=False)
    left = tuple(classes[k] for k in kept)

    def without(tensors: Tensors) -> Tensors:
        return tensors | {name: np.ascontiguousarray(tensors[name][kept]) for name in LAST_LAYER}

    _make(source, target, without, {"classes": list(left), "left_out": sorted(set(classes) - set(left))})
    return left


def _halved(tensors: Tensors) -> Tensors:
    return {
        name: values.astype(np.float16) if values.dtype == np.float32 and values.size >= SMALL else values
        for name, values in tensors.items()
    }


def _make(
    source: Path, target: Path, change: Callable[[Tensors], Tensors], description: Mapping[str, Any]
) -> None:
    """What was measured of the source's engines does not hold for a changed model, and is left behind."""
    files = ModelFiles(source)
    files.identity  # noqa: B018 (it refuses torn weights)
    target.mkdir(parents=True, exist_ok=True)
    changed = change(load_file(source / WEIGHTS))
    with saving(target / WEIGHTS):
        save_file(changed, target / WEIGHTS)
    with (target / WEIGHTS).open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    content = {name: value for name, value in files.description.items() if name != "engines"}
    content |= {**description, "weights_sha256": digest}
    (target / DESCRIPTION).write_text(json.dumps(content, indent=2) + "\n")
