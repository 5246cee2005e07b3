"""Weights of an earlier training as the start of a new one."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from mmfrm.checkpoint import load_model
from mmfrm.failures import JobError
from mmfrm.resume import NotACheckpoint, read_state


def load_start(network: nn.Module, path: Path) -> str:
    """Copy the weights that fit from a model folder or a checkpoint; says what was taken and what left.

    What does not fit (a head for other classes) keeps its random start. Raises JobError where the path
    is neither, or nothing fits.
    """
    weights = _weights_of(path)
    mine = network.state_dict()
    fitting = {n: w for n, w in weights.items() if n in mine and mine[n].shape == w.shape}
    if not fitting:
        raise JobError(f"Nothing in {path} fits this network. Choose the size it was trained with.")
    network.load_state_dict(fitting, strict=False)
    left = sorted(set(mine) - set(fitting))
    text = f"Starting from {path}: {len(fitting)} of {len(mine)} entries taken"
    return text + (f"; {', '.join(left[:6])} start{'' if len(left) > 1 else 's'} anew." if left else ".")


def _weights_of(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        return load_model(path).network.state_dict()
    try:
        learner = read_state(path)["learner"]
        weights: dict[str, Tensor] = learner["averaged"] or learner["network"]
    except (NotACheckpoint, KeyError, TypeError) as error:
        raise JobError(f"{path} is neither a model folder nor a checkpoint of a training.") from error
    return weights
