"""Settings of a training: what each means, and its range. No torch.

The presets are in `mmfrm.presets`; `mmfrm.settings` deals with settings by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmfrm.schema import Checked, setting


@dataclass(frozen=True, kw_only=True)
class DataConfig(Checked):
    """Which faces a run learns from, and how they are labelled and split."""

    label_rule: str = setting(
        "majority",
        "Label rule",
        "How votes become a label. majority: single votes are dropped and more than half of the rest must "
        "agree (the FERPlus paper's rule); argmax: most votes win; soft: learn the distribution of votes. "
        "Data sets without votes have given labels, whatever is chosen here.",
        choices=("majority", "argmax", "soft"),
    )
    val_fraction: float = setting(
        0.1,
        "Validation share",
        "Carved from the training part where there is no validation split.",
        low=0.01,
        high=0.5,
    )
    split_seed: int = setting(
        0, "Split seed", "Draws the carved validation part.", low=0, high=2**31 - 1, rare=True
    )
    train_share: float = setting(
        1.0,
        "Share of the training part",
        "Below 1, a stratified part is used: for quick looks.",
        low=0.001,
        high=1.0,
    )
    max_train: int = setting(
        0,
        "Most training images",
        "0: no limit. Otherwise a stratified part of at most this many.",
        low=0,
        high=10**8,
        rare=True,
    )
    max_eval: int = setting(
        0,
        "Most validation and test images",
        "0: no limit. For quick looks only: figures get wider intervals.",
        low=0,
        high=10**8,
        rare=True,
    )
    leave_out_leaks: bool = setting(
        True,
        "Leave out leaking images",
        "Training images whose exact or near duplicate is in val or test are not trained on.",
    )
    sampling: str = setting(
        "shuffled",
        "Sampling",
        "shuffled: each image once an epoch; balanced: every class equally often; sqrt: between the two, by "
        "the square root of the counts; mild: nearer to shuffled, by their power of ¾.",
        choices=("shuffled", "balanced", "sqrt", "mild"),
    )


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(Checked):
    """The family of networks: MMFRM as published, and what an ablation changes."""

    size: str = setting(
        "paper",
        "Size",
        "paper: 34 M parameters as published; small: 6 M and about a fifth of the cost.",
        choices=("paper", "small"),
    )
    width: float = setting(
        1.0, "Width", "Multiplies every channel count of the chosen size.", low=0.125, high=2.0, rare=True
    )
    half_side: bool = setting(
        False,
        "Half the image side",
        "The expression network sees its images at 56 × 56 pixels instead of 112 × 112, at a quarter of the "
        "cost, and so does a landmark network that learns along; a frozen one sees them whole. For quick "
        "looks at small faces; a little accuracy is lost even where they have no more pixels.",
        rare=True,
    )
    fusion: str = setting(
        "tcffm",
        "Fusion",
        "How landmark features join: tcffm (as published), concat (plain) or none (backbone alone).",
        choices=("tcffm", "concat", "none"),
    )
    landmarks: str = setting(
        "frozen",
        "Landmark network",
        "frozen: pretrained, eval mode, no gradient; finetune: pretrained and trained along; "
        "scratch: random and trained along, which must be asked for.",
        choices=("frozen", "finetune", "scratch"),
    )
    landmark_weights: str = setting(
        "shipped",
        "Landmark weights",
        "'shipped', or the path of a .safetensors or released .pth file.",
        rare=True,
    )
    stem_norm: bool = setting(
        False, "Norm in the stem", "The released code declares it and never applies it.", rare=True
    )
    dropout: float = setting(0.2, "Dropout", "In the conv blocks after each fusion.", low=0.0, high=0.9)
    alpha_start: float = setting(
        0.0, "Start of α", "Bias of the α gate: α starts near sigmoid of this.", low=-6, high=6, rare=True
    )


@dataclass(frozen=True, kw_only=True)
class LossConfig(Checked):
    """Cross-entropy and RFLoss."""

    label_smoothing: float = setting(
        0.0, "Label smoothing", "Share of the label spread over all classes.", low=0.0, high=0.5
    )
    class_weights: str = setting(
        "none",
        "Class weights",
        "balanced: inverse frequency; sqrt: its square root.",
        choices=("none", "balanced", "sqrt"),
    )
    logit_adjustment: float = setting(
        0.0,
        "Logit adjustment",
        "How much of what sampling does to the shares of the classes is taken back in the answers. 0: rare "
        "classes are named more often than they occur, and found more often; 1: as often, which is most "
        "accurate. Without effect on shuffled images.",
        low=0.0,
        high=1.0,
    )
    rfloss: str = setting(
        "off",
        "RFLoss",
        "off; released: logged only, since the released program passes no gradient through it; "
        "intended: within-class mean absolute deviation of p(true), differentiable.",
        choices=("off", "released", "intended"),
    )
    rfloss_weight: float = setting(
        0.2, "RFLoss weight", "Multiplies RFLoss once it starts.", low=0.0, high=10.0
    )
    rfloss_start: float = setting(0.25, "RFLoss start", "After this share of the epochs.", low=0.0, high=1.0)
    cross_entropy_weight: float = setting(
        0.9,
        "Cross-entropy weight beside RFLoss",
        "Multiplies cross-entropy once RFLoss has started.",
        low=0.0,
        high=10.0,
        rare=True,
    )


@dataclass(frozen=True, kw_only=True)
class OptimConfig(Checked):
    """How the weights move, and for how long."""

    epochs: int = setting(30, "Epochs", "Passes over the training part.", low=1, high=10_000)
    batch_size: int = setting(64, "Batch size", "Images a step, over all devices together.", low=2, high=4096)
    first_side: int = setting(
        112,
        "First image side",
        "Below 112, the expression network begins with images of that side (64, 80 or 96 pixels) and grows "
        "to 112 in stages of equal length: quicker. Validation is at 112 always, so that its first figures "
        "are low.",
        low=64,
        high=112,
        rare=True,
    )
    first_share: float = setting(
        0.0,
        "Share of the first side",
        "Of the epochs, those with images of the first side; the rest is shared by the larger ones. 0: all "
        "stages are equally long. Faces that are small by nature lose nothing in a long first stage.",
        low=0.0,
        high=0.95,
        rare=True,
    )
    optimizer: str = setting("adamw", "Optimizer", "", choices=("adam", "adamw", "sgd"))
    learning_rate: float = setting(1e-3, "Learning rate", "After warm-up.", low=1e-7, high=10.0)
    weight_decay: float = setting(0.05, "Weight decay", "Not applied to norms and biases.", low=0.0, high=1.0)
    momentum: float = setting(0.9, "Momentum", "Of SGD.", low=0.0, high=0.999, rare=True)
    schedule: str = setting(
        "cosine",
        "Schedule",
        "Of the learning rate.",
        choices=("cosine", "exponential", "plateau", "constant"),
    )
    gamma: float = setting(
        0.9, "Decay", "Factor an epoch (exponential) or a plateau.", low=0.01, high=1.0, rare=True
    )
    plateau_epochs: int = setting(
        3,
        "Patience of the plateau",
        "Epochs without a better figure before the rate decays (plateau).",
        low=1,
        high=1000,
        rare=True,
    )
    warmup_steps: int = setting(
        200, "Warm-up steps", "The learning rate rises from 0 over these.", low=0, high=100_000
    )
    gradient_clip: float = setting(5.0, "Gradient clipping", "Largest norm; 0 is off.", low=0.0, high=1000.0)
    ema: float = setting(
        0.0, "Averaged weights (EMA)", "Decay of the moving average; 0 is off.", low=0.0, high=0.99999
    )
    sam_rho: float = setting(
        0.0,
        "SAM radius",
        "Sharpness-aware minimisation; 0 is off, doubles the cost.",
        low=0.0,
        high=1.0,
        rare=True,
    )
    select_by: str = setting(
        "accuracy",
        "Best by",
        "The validation figure that chooses the best checkpoint. loss: cross-entropy alone, since the loss "
        "becomes another sum when RFLoss starts.",
        choices=("accuracy", "mean_class_accuracy", "macro_f1", "loss"),
    )
    patience: int = setting(
        0, "Patience", "Stop after this many epochs without a better one; 0 is off.", low=0, high=10_000
    )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Checked):
    """Random changes of the training images, drawn a batch at a time."""

    flip: bool = setting(True, "Flip", "Mirror half of the images.")
    rotate: float = setting(11.0, "Rotation", "Degrees, at most.", low=0.0, high=90.0)
    scale: float = setting(0.15, "Scale", "Share, at most.", low=0.0, high=0.9)
    shift: float = setting(0.05, "Shift", "Share of the side, at most.", low=0.0, high=0.5)
    contrast: float = setting(0.3, "Contrast and brightness", "Share, at most.", low=0.0, high=0.9)
    erase: float = setting(0.25, "Erasing", "Share of images with a random box erased.", low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig(Checked):
    """The machine's side of a run; does not change what is learned (beyond rounding)."""

    seed: int = setting(0, "Seed", "Draws weights, order and augmentation.", low=0, high=2**31 - 1)
    deterministic: bool = setting(
        False, "Deterministic", "Same seed, same curve, bit for bit, at some cost in speed."
    )
    device: str = setting(
        "auto",
        "Device",
        "auto takes a GPU where there is one.",
        choices=("auto", "cpu", "cuda", "mps"),
        rare=True,
    )
    precision: str = setting(
        "auto",
        "Precision",
        "auto: bf16 where the hardware has it, else fp32.",
        choices=("auto", "fp32", "bf16", "fp16"),
        rare=True,
    )
    channels_last: bool = setting(True, "Channels last", "Memory layout that convolutions like.", rare=True)
    compile: bool = setting(
        False, "Compile", "torch.compile: slow first steps, faster later ones.", rare=True
    )
    threads: int = setting(
        0, "Threads", "0: as many as there are cores (or as the worker allows).", low=0, high=1024, rare=True
    )
    checkpoint_seconds: float = setting(
        60.0,
        "Seconds between checkpoints",
        "Within an epoch; one is written at its end anyway.",
        low=0.0,
        high=86_400,
        rare=True,
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides what a run learns."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
