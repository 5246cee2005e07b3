"""Small real networks in model folders, and pictures for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmfrm import images

CLASSES = ("neutral", "happiness", "surprise", "=anger")  # the last is what a spreadsheet would run


def tiny_model(folder: Path, *, fusion: str = "none", classes: tuple[str, ...] = CLASSES) -> Path:
    """A model folder with the smallest network of the family, whose answers differ from face to face."""
    import torch
    from torch import nn

    from mmfrm.checkpoint import save_model
    from mmfrm.config import NetworkConfig
    from mmfrm.nn import FaceNetwork

    torch.manual_seed(0)
    config = NetworkConfig(size="small", width=0.125, fusion=fusion, landmarks="scratch", stem_norm=True)
    network = FaceNetwork(config, len(classes))
    # Norms that have seen faces, as in any trained network; and a last layer that has opinions.
    with torch.no_grad():
        for _ in range(20):
            network(torch.from_numpy(faces(16)).permute(0, 3, 1, 2))
        fc = network.expression.fc
        nn.init.normal_(fc.weight, std=4.0)
    save_model(folder, network.eval(), classes=classes, config=config, card={})
    return folder


def faces(count: int, seed: int = 0) -> images.Pixels:
    """(count, 112, 112, 3): smooth random pictures, no two alike."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack([images.resized(picture) for picture in small])


def jpegs(folder: Path, count: int, *, side: int = 48) -> Path:
    """A folder of small JPEG pictures, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    for i in range(count):
        picture = images.resized(random.integers(0, 256, (6, 6, 3), np.uint8), side)
        (folder / f"{i:05}.jpg").write_bytes(images.encoded(picture))
    return folder
