"""Weights saved by the released program, or by others who train a 68-point MobileFaceNet."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmfrm.failures import JobError

# Where training programs hide the weights among other things, most telling first.
NESTS = ("state_dict", "model_state_dict", "model", "net", "weights")


class CheckpointError(JobError):
    """A file of weights is torn, foreign, or does not fit; the text names it and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What became of a state dict: `taken` and `left` are its names, `missing` are the module's."""

    taken: tuple[str, ...]
    left: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def message(self) -> str:
        """One sentence for people."""
        text = f"{len(self.taken)} entries taken"
        text += f", {len(self.left)} left ({_some(self.left)})" if self.left else ", none left"
        return text + (
            f", {len(self.missing)} not in the file ({_some(self.missing)})" if self.missing else ""
        )


def _some(names: tuple[str, ...], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def read_released(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth file, read without running anything that is pickled in it.

    Raises CheckpointError where the file is torn, is no torch file, or needs code to be run.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is not there.") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is no plain state dict: reading it would run code from the file, which is refused. "
            "Save `model.state_dict()` from the program that made it, and load that."
        ) from error
    # A torn file makes torch raise nearly anything: RuntimeError, EOFError, ValueError, KeyError, …
    except Exception as error:
        raise CheckpointError(f"{path} is torn or is not a torch file ({type(error).__name__}).") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict.")
    return plain_state_dict(content)


def plain_state_dict(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors by name, out of nests like {'epoch': …, 'state_dict': …}, without DataParallel's prefix."""
    for nest in NESTS:
        if isinstance(content.get(nest), Mapping):
            return plain_state_dict(content[nest])
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    if tensors and all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def load_released(module: nn.Module, state_dict: Mapping[str, Any]) -> Loaded:
    """Copy every entry whose name and shape the module has; the rest of both sides is named in the answer.

    Reads what the released program and other MobileFaceNet trainers save: nested, with DataParallel's
    `module.` prefix, or with batch norms folded into the convolutions before them. Raises CheckpointError
    when nothing fits, and leaves the module as it was.
    """
    given = plain_state_dict(state_dict)
    own = module.state_dict()
    unfolded, folded = _unfold_norms(given, own)
    fitting = {name: v for name, v in unfolded.items() if name in own and own[name].shape == v.shape}
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    if not set(fitting) - counters:
        raise CheckpointError(
            f"None of the {len(given)} entries fits {type(module).__name__}: "
            f"the file has {_some(tuple(given), 3) or 'no tensors'}, "
            f"the network {_some(tuple(own), 3)}. Is it a checkpoint of another network?"
        )
    module.load_state_dict(fitting, strict=False)
    taken = tuple(name for name in given if name in fitting or name in folded)
    return Loaded(
        taken=taken,
        left=tuple(name for name in given if name not in set(taken)),
        missing=tuple(name for name in own if name not in fitting and name not in counters),
    )


def _unfold_norms(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], eps: float = 1e-5
) -> tuple[dict[str, Tensor], set[str]]:
    """Give a bias where we have none to the norm that follows, as a norm that otherwise changes nothing.

    A folded checkpoint has `X.conv.bias` and no `X.bn`; ours has no such bias, and an `X.bn`. Returns the
    entries with norms in their places, and the names of the biases that became norms.
    """
    entries, folded = dict(given), set()
    for name, bias in given.items():
        layer, _, leaf = name.rpartition(".")
        norm = layer.rpartition(".")[0] + ".bn"
        if leaf != "bias" or name in own or f"{norm}.running_var" not in own or f"{norm}.bias" in given:
            continue
        del entries[name]
        folded.add(name)
        # running_var 1 is divided by sqrt(1 + eps): the weight undoes exactly that.
        entries[f"{norm}.weight"] = torch.full_like(bias, math.sqrt(1.0 + eps))
        entries[f"{norm}.bias"] = bias
        entries[f"{norm}.running_mean"] = torch.zeros_like(bias)
        entries[f"{norm}.running_var"] = torch.ones_like(bias)
    return entries, folded
