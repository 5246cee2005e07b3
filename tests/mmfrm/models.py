"""Small real networks in model folders, and pictures for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmfrm import images

if TYPE_CHECKING:
    from mmfrm.nn import FaceNetwork

CLASSES = ("neutral", "happiness", "surprise", "=anger")  # the last is what a spreadsheet would run


def tiny_model(
    folder: Path, *, fusion: str = "none", half_side: bool = False, classes: tuple[str, ...] = CLASSES
) -> Path:
    """A model folder with the smallest network of the family, whose answers differ from face to face."""
    import torch

    from mmfrm.checkpoint import save_model
    from mmfrm.config import NetworkConfig
    from mmfrm.nn import FaceNetwork

    torch.manual_seed(0)
    config = NetworkConfig(
        size="small", width=0.125, half_side=half_side, fusion=fusion, landmarks="scratch", stem_norm=True
    )
    network = FaceNetwork(config, len(classes))
    if fusion == "none":
        learn_colours(network, len(classes))
    else:
        spread_answers(network)
    save_model(folder, network.eval(), classes=classes, config=config, card={})
    return folder


def learn_colours(network: FaceNetwork, classes: int) -> None:
    """A second of training to tell reddish pictures from greenish ones: rounding matters little after it."""
    import torch
    from torch.nn.functional import cross_entropy

    pixels = torch.from_numpy(faces(256)).permute(0, 3, 1, 2)
    redness = pixels[:, 0].float().mean((1, 2)) - pixels[:, 1].float().mean((1, 2))
    targets = (redness.argsort().argsort() * classes) // len(redness)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(40):
        chosen = torch.arange(32) * 8 + step % 8
        optimizer.zero_grad()
        loss = cross_entropy(network(pixels[chosen])[1], targets[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        deviation = network.eval()(pixels[::8])[1].std()
        for parameter in network.expression.fc.parameters():
            parameter.mul_(2 / deviation)  # so that no probability is plainly 0 or 1


def spread_answers(network: FaceNetwork) -> None:
    """Norms that have seen faces, and logits that differ between them; random weights otherwise."""
    import torch

    pixels = torch.from_numpy(faces(32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        for _ in range(20):
            network(pixels[:8])
        alpha, logits = network.eval()(pixels)
        factor = 0.5 / logits.std(0)  # more would show mostly how random weights magnify rounding
        fc = network.expression.fc
        fc.bias.copy_((fc.bias - (logits / alpha).mean(0)) * factor)
        fc.weight.mul_(factor[:, None])


def faces(count: int, seed: int = 0) -> images.Pixels:
    """(count, 112, 112, 3): smooth random pictures, each in a colour of its own."""
    random = np.random.default_rng(seed)
    return np.stack([images.resized(_picture(random)) for _ in range(count)])


def _picture(random: np.random.Generator) -> images.Pixels:
    # The colour makes the answers of an untrained network differ by much more than rounding does.
    colour, noise = random.integers(0, 160, (1, 1, 3)), random.integers(0, 96, (6, 6, 3))
    return (colour + noise).astype(np.uint8)


def jpegs(folder: Path, count: int, *, side: int = 48) -> Path:
    """A folder of small JPEG pictures, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    for i in range(count):
        picture = images.resized(_picture(random), side)
        (folder / f"{i:05}.jpg").write_bytes(images.encoded(picture))
    return folder
