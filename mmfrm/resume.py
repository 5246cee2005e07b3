"""Checkpoints: everything that a run needs to go on as if nothing had happened, in one file.

A checkpoint is a safetensors file. Its tensors are the leaves of a state tree (dicts, lists, numbers,
strings, tensors); the tree itself is JSON in the file's metadata, so nothing is unpickled and a foreign
file can do no harm. A digest of the tensors tells a damaged file from a whole one.

Writing: a temporary file, fsync, then renames: `last.ckpt` becomes `previous.ckpt`, the new one
`last.ckpt`. At every moment one of the two is whole, whatever kills the process or the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmfrm.weight_files import saving

FORMAT = "mmfrm-checkpoint-1"
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class NotACheckpoint(Exception):  # noqa: N818 - it says what the file is
    """The file is torn, damaged or something else; the text names it and says how."""


@dataclass(frozen=True)
class Restored:
    """The newest whole state of a folder (None: there is none), and what was wrong with newer files."""

    state: dict[str, Any] | None
    path: Path | None
    problems: tuple[str, ...]


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> Path:
    """Write a state tree as the folder's newest checkpoint; the one before it is kept. Returns its path."""
    last = folder / LAST
    part = folder / (LAST + ".part")
    write_state(part, state)
    if last.exists():
        last.replace(folder / PREVIOUS)
    part.replace(last)
    _sync_folder(folder)
    return last


def restore_checkpoint(folder: Path) -> Restored:
    """The newest whole checkpoint of a folder: the last one, or the previous where that is torn."""
    problems: list[str] = []
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            return Restored(read_state(path), path, tuple(problems))
        except NotACheckpoint as error:
            problems.append(str(error))
    return Restored(None, None, tuple(problems))


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state tree and wait until it is on the disk. Raises OSError where that refuses it."""
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_pack(state, "", tensors), allow_nan=True)
    metadata = {"format": FORMAT, "tree": tree, "digest": _digest(tree, tensors.items())}
    with saving(path):
        save_file(tensors, path, metadata)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def read_state(path: Path) -> dict[str, Any]:
    """The state tree of a file, tensors on the CPU. Raises NotACheckpoint naming the file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise NotACheckpoint(f"{path.name} is torn or no checkpoint ({error})") from error
    if metadata.get("format") != FORMAT:
        raise NotACheckpoint(f"{path.name} is not a checkpoint of this program")
    if metadata.get("digest") != _digest(metadata.get("tree", ""), sorted(tensors.items())):
        raise NotACheckpoint(f"{path.name} is damaged: its contents do not match its digest")
    state = _unpack(json.loads(metadata["tree"]), tensors)
    if not isinstance(state, dict):
        raise NotACheckpoint(f"{path.name} holds no state")
    return state


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """JSON of a tree; its tensors are put aside under their place in the tree."""
    if isinstance(value, Tensor):
        # A copy in the plain layout: safetensors knows no channels-last. Whoever loads it copies into
        # tensors that have theirs.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):  # pairs, since JSON would turn the optimizer's integer keys into strings
        return {"dict": [[k, _pack(v, f"{name}.{k}" if name else str(k), tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_pack(v, f"{name}.{i}", tensors) for i, v in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise TypeError(f"{name}: a {type(value).__name__} has no place in a checkpoint")


def _unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    (kind, content), *_ = packed.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {k: _unpack(v, tensors) for k, v in content}
    if kind == "list":
        return [_unpack(v, tensors) for v in content]
    return content


def _digest(tree: str, tensors: Any) -> str:
    digest = hashlib.sha256(tree.encode())
    for name, content in _bytes_of(tensors):
        digest.update(name.encode())
        digest.update(content)
    return digest.hexdigest()


def _bytes_of(tensors: Any) -> Iterator[tuple[str, memoryview]]:
    for name, tensor in sorted(tensors):
        yield name, memoryview(tensor.reshape(-1).view(torch.uint8).numpy())


def _sync_folder(folder: Path) -> None:
    """Make renames survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
