"""Named starting points of a training. No torch."""

from __future__ import annotations

from mmfrm.config import AugmentConfig, DataConfig, LossConfig, NetworkConfig, OptimConfig, TrainConfig


def presets() -> dict[str, TrainConfig]:
    """By name. `paper` is the released recipe with its faults mended."""
    small = NetworkConfig(size="small", stem_norm=True, alpha_start=2.0)
    return {
        "paper": TrainConfig(
            loss=LossConfig(rfloss="intended", rfloss_start=0.25),
            optim=OptimConfig(
                epochs=200, batch_size=32, optimizer="adam", learning_rate=1e-3, weight_decay=1e-4,
                schedule="exponential", gamma=0.9, warmup_steps=0, gradient_clip=0.0,
            ),
            augment=AugmentConfig(rotate=0.0, scale=0.0, shift=0.0, contrast=0.0, erase=0.0),
        ),
        "best": TrainConfig(
            network=NetworkConfig(stem_norm=True, alpha_start=2.0),
            loss=LossConfig(label_smoothing=0.1, rfloss="intended", rfloss_start=0.5),
            optim=OptimConfig(epochs=40, ema=0.999),
        ),
        "small": TrainConfig(
            network=small,
            loss=LossConfig(label_smoothing=0.1),
            optim=OptimConfig(epochs=12, ema=0.998),
        ),
        "quick-look": TrainConfig(
            data=DataConfig(max_train=4000, max_eval=1000),
            network=small,
            loss=LossConfig(label_smoothing=0.1, rfloss="intended", rfloss_start=0.5),
            optim=OptimConfig(epochs=4, warmup_steps=30),
        ),
    }  # fmt: skip
