"""Progressive resizing: a run may begin with smaller images, which cost less, and end with whole ones.

Tan & Le, "EfficientNetV2: Smaller Models and Faster Training", ICML 2021, §4: stages of equal length.
"""

from __future__ import annotations

from mmfrm.config import OptimConfig
from mmfrm.images import SIDE

STEP = 16  # what the network divides a side by: other sides leave half a cell at an edge
# Of a step at full side, what does not shrink with the image: the frozen landmark network sees whole ones.
FIXED_COST = 0.12


def image_side(config: OptimConfig, epoch: int) -> int:
    """Pixels a side that the expression network learns from in an epoch; the last stage has whole images.

    An extension of a run does not shrink its images again: `config.epochs` is the run's first length.
    """
    stages = (SIDE - config.first_side) // STEP + 1
    first = int(config.first_share * config.epochs)  # epochs of the first stage, where its length is given
    if epoch < first:
        return SIDE - STEP * (stages - 1)
    if first:
        stages -= 1
    stages_after = (config.epochs - 1 - epoch) * stages // (config.epochs - first)
    return SIDE - STEP * max(0, stages_after)


def cost(config: OptimConfig, epoch: int) -> float:
    """Of learning from an image in an epoch, as a share of what a whole image costs."""
    return FIXED_COST + (1 - FIXED_COST) * (image_side(config, epoch) / SIDE) ** 2
