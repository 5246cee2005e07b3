"""Model folders, which people take away, and the released program's files.

A model folder holds `model.safetensors` (weights, nothing pickled) and `model.json` (classes, settings,
card, and the digest of the weights, so that a torn pair is noticed). What a run needs to go on is in
`mmfrm.resume`; what the released program saved is read by `mmfrm.released`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmfrm.config import NetworkConfig
from mmfrm.nn import FaceNetwork
from mmfrm.released import CheckpointError, Loaded, load_released, plain_state_dict, read_released
from mmfrm.schema import ConfigError, from_dict
from mmfrm.versions import versions
from mmfrm.weight_files import saving

__all__ = [
    "CheckpointError",
    "Loaded",
    "Model",
    "load_model",
    "load_released",
    "plain_state_dict",
    "read_released",
    "save_model",
]

FORMAT = 1  # of model.json; raised when an older program could not read it
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network with what is needed to use it, in eval mode."""

    network: FaceNetwork
    classes: tuple[str, ...]
    config: NetworkConfig
    card: dict[str, Any] = field(default_factory=dict)


def save_model(
    folder: Path,
    network: FaceNetwork,
    *,
    classes: Sequence[str],
    config: NetworkConfig,
    card: Mapping[str, Any],
) -> None:
    """Write a model folder. `card` is plain data about the model: where it comes from, how good it is.

    Each file is replaced whole. Between the two replacements a kill leaves a pair that does not match,
    which `load_model` notices. Raises OSError where the disk refuses one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights, description = folder / (WEIGHTS + ".part"), folder / (DESCRIPTION + ".part")
    with saving(weights):
        save_file({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}, weights)
    content = {
        "format": FORMAT,
        "classes": list(classes),
        "network": asdict(config),
        "card": dict(card),
        "versions": versions(),
        "weights_sha256": _digest(weights),
    }
    description.write_text(json.dumps(content, indent=2) + "\n")
    for path in (weights, description):
        _sync(path)
    weights.replace(folder / WEIGHTS)
    description.replace(folder / DESCRIPTION)


def load_model(folder: Path) -> Model:
    """Read a model folder, on the CPU, in eval mode.

    Landmark weights are part of it, so nothing else needs to be installed. Raises CheckpointError naming
    the file that is missing, torn or foreign, and the remedy.
    """
    content = _description(folder)
    try:
        config = from_dict(NetworkConfig, content["network"])
        classes = tuple(str(name) for name in content["classes"])
        network = FaceNetwork(config, len(classes))
    except (KeyError, TypeError, ConfigError) as error:
        text = f"{folder / DESCRIPTION} does not describe a network of this program ({error})."
        raise CheckpointError(text) from error
    state = _weights(folder / WEIGHTS, content.get("weights_sha256", ""))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} does not fit the network of {folder / DESCRIPTION}: {_first_line(error)}"
        ) from error
    return Model(network=network.eval(), classes=classes, config=config, card=dict(content.get("card") or {}))


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is not a model folder: it has no {DESCRIPTION}. A run writes one as model/."
        )
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise CheckpointError(f"{path} has format {found!r}, this program reads {FORMAT}.")
    return content


def _weights(path: Path, digest: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: copy the whole model folder, not {DESCRIPTION} alone.")
    if _digest(path) != digest:
        raise CheckpointError(
            f"{path} is torn, or belongs to another {DESCRIPTION}: its digest is not the one noted there. "
            "Copy the whole folder again, or export it again from its run."
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file ({error}).") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
