"""Weights of an earlier training as the start of a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmfrm.checkpoint import load_model
from mmfrm.classes import mapping_indices
from mmfrm.failures import JobError
from mmfrm.resume import NotACheckpoint, read_state
from mmfrm.variants import LAST_LAYER

Weights = Mapping[str, Tensor]


def load_start(network: nn.Module, path: Path, classes: Sequence[str]) -> str:
    """Copy the weights that fit from a model folder or a checkpoint; says what was taken and what left.

    `classes` of the network: the last layer has a row a class, and data sets have them in other orders, so
    each row is taken from the class of the same name. What does not fit, a class that is not there, and every
    class where the file does not say which it has, keep their random start. Raises JobError where the path is
    neither, or nothing fits.
    """
    weights, known = _weights_of(path)
    mine = network.state_dict()
    taken = {
        n: w for n, w in weights.items() if n not in LAST_LAYER and n in mine and mine[n].shape == w.shape
    }
    rows = _rows(classes, known) if _fits(mine, weights, known) else {}
    if rows:
        taken |= {name: _in_my_order(mine[name], weights[name], rows) for name in LAST_LAYER}
    if not taken:
        raise JobError(f"Nothing in {path} fits this network. Choose the size it was trained with.")
    network.load_state_dict(taken, strict=False)
    left = sorted(set(mine) - set(taken))
    text = f"Starting from {path}: {len(taken)} of {len(mine)} entries taken"
    text += f"; {', '.join(left[:6])} start{'' if len(left) > 1 else 's'} anew." if left else "."
    if not known:
        return f"{text} It does not say which classes it has, so that all of them begin anew."
    return f"{text} {_told(classes, rows)}"


def _weights_of(path: Path) -> tuple[Weights, tuple[str, ...]]:
    """The weights and their classes, none where nobody knows them."""
    if path.is_dir():
        model = load_model(path)
        return model.network.state_dict(), model.classes
    try:
        state = read_state(path)
        learner = state["learner"]
        weights: Weights = learner["averaged"] or learner["network"]
    except (NotACheckpoint, KeyError, TypeError) as error:
        raise JobError(f"{path} is neither a model folder nor a checkpoint of a training.") from error
    return weights, _classes_of(state)


def _classes_of(state: Mapping[str, Any]) -> tuple[str, ...]:
    if "classes" in state:
        return tuple(state["classes"])
    # A checkpoint of before they were kept has them in the figures of its last epoch, if one had ended.
    end = state.get("standing", {}).get("last_epoch_end") or {}
    return tuple(row["name"] for row in end.get("val", {}).get("classes", ()))


def _fits(mine: Weights, weights: Weights, known: Sequence[str]) -> bool:
    """Whether the rows of the last layer are those of the known classes, and as wide as mine."""
    return all(
        name in weights and weights[name].shape == (len(known), *mine[name].shape[1:]) for name in LAST_LAYER
    )


def _rows(classes: Sequence[str], known: Sequence[str]) -> dict[int, int]:
    """For each class that is known, its row in my last layer and in the other."""
    same = {name: name for name in classes if name in known}  # rather than another spelling of it
    found = mapping_indices(classes, known, same)
    return {mine: theirs for mine, theirs in enumerate(found) if theirs is not None}


def _in_my_order(mine: Tensor, theirs: Tensor, rows: Mapping[int, int]) -> Tensor:
    # (K, …) and (K of the other, …) -> (K, …)
    placed = mine.clone()
    placed[list(rows)] = theirs[list(rows.values())].to(mine)
    return placed


def _told(classes: Sequence[str], rows: Mapping[int, int]) -> str:
    anew = [name for k, name in enumerate(classes) if k not in rows]
    text = f"{len(rows)} of {len(classes)} classes taken by their names"
    return text + (f"; {', '.join(anew)} begin{'' if len(anew) > 1 else 's'} anew." if anew else ".")
