"""What each epoch of a training is made of, and what comes after it. Nothing here changes while it runs."""

from __future__ import annotations

import dataclasses

from mmfrm.config import OptimConfig, TrainConfig
from mmfrm.data import Faces
from mmfrm.data.sampling import order
from mmfrm.growth import cost, image_side
from mmfrm.standing import Positions, require_split

FORWARD_COST = 0.35  # of an image only looked at, in images learned from: for the time left


class Plan:
    """The epochs of a run on its data, for `world` processes together.

    Raises JobError where there is nothing to learn from or to validate on.
    """

    def __init__(self, config: TrainConfig, faces: Faces, *, world: int, opens_test: bool) -> None:
        self.opens_test = opens_test and "test" in faces.splits
        self._config, self._faces, self._world = config, faces, world
        self._train, self._val = require_split(faces, "train"), require_split(faces, "val")

    def batches(self, epoch: int) -> list[Positions]:
        """Global batches of an epoch, in order."""
        seed = self._config.runtime.seed
        positions = order(self._train, self._config.data, seed=seed, epoch=epoch)
        return in_batches(positions, self._config.optim.batch_size, self._world)

    def side(self, epoch: int, epochs: int) -> int:
        """Pixels a side that the expression network learns from, in a run of so many epochs."""
        return image_side(self._stages(epochs), epoch)

    def rfloss_active(self, epoch: int) -> bool:
        """Whether RFLoss has begun. An extension does not move its start: it must not end again."""
        loss = self._config.loss
        return loss.rfloss != "off" and epoch >= loss.rfloss_start * self._config.optim.epochs

    def images_after(self, epoch: int, epochs: int) -> float:
        """What comes after the learning of an epoch in progress, in images as costly as this epoch's."""
        optim = self._stages(epochs)
        learned_from = sum(cost(optim, later) for later in range(epoch + 1, epochs)) * len(self._train)
        looked_at = max(epochs - epoch, 1) * len(self._val)
        test = len(self._faces.splits["test"]) if self.opens_test else 0
        return (learned_from + FORWARD_COST * (looked_at + test)) / cost(optim, epoch)

    def _stages(self, epochs: int) -> OptimConfig:
        """How images grow: a run that is made shorter ends with whole ones too."""
        optim = self._config.optim
        return optim if epochs >= optim.epochs else dataclasses.replace(optim, epochs=epochs)


def in_batches(positions: Positions, size: int, world: int = 1) -> list[Positions]:
    """Global batches of an epoch. A last one with less than two images a process is left out.

    Norms over one image of small maps are noise, and a process must not stay without any.
    """
    batches = [positions[i : i + size] for i in range(0, len(positions), size)]
    if len(batches) > 1 and len(batches[-1]) < 2 * world:
        batches.pop()
    return batches
