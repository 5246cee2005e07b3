"""What a training says about itself before it does it: the way ahead of it, and the facts of its start."""

from __future__ import annotations

from typing import Any

from mmfrm.config import OptimConfig
from mmfrm.data import Faces
from mmfrm.ddp import Group
from mmfrm.growth import cost
from mmfrm.nn import FaceNetwork
from mmfrm.runtime import Runtime

FORWARD_COST = 0.35  # of an image only looked at, in images learned from: for the time left


def images_after(faces: Faces, optim: OptimConfig, epoch: int, epochs: int, *, opens_test: bool) -> float:
    """What comes after the learning of an epoch in progress, in images as costly as this epoch's."""
    learned_from = sum(cost(optim, later) for later in range(epoch + 1, epochs)) * len(faces.splits["train"])
    looked_at = max(epochs - epoch, 1) * len(faces.splits["val"])
    test = len(faces.splits["test"]) if opens_test else 0
    return (learned_from + FORWARD_COST * (looked_at + test)) / cost(optim, epoch)


def phase(doing: str, epoch: int, epochs: int) -> str:
    """ "training, epoch 3 of 12", for people."""
    return f"{doing}, epoch {min(epoch + 1, epochs)} of {epochs}"


def facts(
    runtime: Runtime, processes: Group, network: FaceNetwork, faces: Faces, *, epochs: int, steps: int
) -> dict[str, Any]:
    """What ran where on what. `steps`: of an epoch."""
    return {
        **runtime.facts(),
        "processes": processes.world,
        "parameters": sum(p.numel() for p in network.parameters()),
        "trained_parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "images": {name: len(split) for name, split in faces.splits.items()},
        "classes": list(faces.classes),
        "epochs": epochs,
        "steps_per_epoch": steps,
        "data_fingerprint": faces.fingerprint,
        "data_report": faces.report,
    }
