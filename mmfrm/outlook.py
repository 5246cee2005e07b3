"""What a training says about itself: what it is doing, and the facts of its start."""

from __future__ import annotations

from typing import Any

from mmfrm.data import Faces
from mmfrm.ddp import Group
from mmfrm.nn import FaceNetwork
from mmfrm.runtime import Runtime


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
