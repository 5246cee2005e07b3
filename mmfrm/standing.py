"""Where a run stands: the state beside the learner's, and what is checked before and after an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmfrm.config import OptimConfig, TrainConfig
from mmfrm.data import Faces, FaceSplit
from mmfrm.events import EpochEnd, Notice
from mmfrm.failures import JobError
from mmfrm.schema import from_dict
from mmfrm.settings import forbidden_changes, validation_figure

MODEL = "model"  # folder of the best epoch's weights, inside the job folder
HEADLINE = ("accuracy", "accuracy_low", "accuracy_high", "mean_class_accuracy", "macro_f1", "loss")

Positions = np.ndarray[Any, np.dtype[np.int64]]


@dataclass
class Standing:
    """Where a run is. With the learner's state, all that is needed to go on exactly."""

    epoch: int = 0  # in progress
    batch: int = 0  # batches of it done
    seconds: float = 0.0  # spent learning in it
    waited: float = 0.0  # of those, for images
    best: float | None = None  # of the chosen figure; larger is better
    best_epoch: int = -1
    last_epoch_end: dict[str, Any] | None = None  # payload of the event
    history: list[dict[str, Any]] = field(default_factory=list)  # headline figures, an entry an epoch
    best_val: dict[str, Any] = field(default_factory=dict)
    temperature: float | None = None  # of the best epoch's weights, fitted on val at the end
    test: dict[str, Any] | None = None
    judged_epoch: int = -2  # whose weights temperature and test figures are of
    heard: int = 0  # the last order obeyed
    steered: list[dict[str, Any]] = field(default_factory=list)  # payloads of what was obeyed
    patience_from: int = -1  # epoch before which nothing counts for patience

    @property
    def is_judged(self) -> bool:
        """Whether temperature and test figures, where there is a test part, are those of the best epoch."""
        return self.judged_epoch == self.best_epoch

    def is_out_of(self, patience: int) -> bool:
        """Whether so many epochs (0: any number) have brought nothing better."""
        return 0 < patience <= self.epoch - 1 - max(self.best_epoch, self.patience_from)

    def is_better(self, figure: float) -> bool:
        """Whether a figure beats the best so far; the first always does."""
        return self.best is None or figure > self.best

    def turn_page(self, end: EpochEnd, figure: float) -> None:
        """An epoch has ended with this figure; the next one is in progress."""
        if self.is_better(figure):
            self.best, self.best_epoch, self.best_val = figure, end.epoch, headline_of(end.val)
        self.last_epoch_end = end.payload()
        self.history.append(
            {"epoch": end.epoch, "train": headline_of(end.train), "val": headline_of(end.val)}
        )
        self.epoch, self.batch, self.seconds, self.waited = end.epoch + 1, 0, 0.0, 0.0

    def headline(self) -> dict[str, Any]:
        """What a finished run says first."""
        test = {"test": headline_of(self.test)} if self.test is not None and self.is_judged else {}
        return {"best_epoch": self.best_epoch, "epochs": self.epoch, "val": self.best_val, **test}


def headline_of(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of a split that are told first."""
    return {name: figures.get(name) for name in HEADLINE}


def figure_of(val: Mapping[str, Any], optim: OptimConfig) -> float:
    """The validation figure that chooses the best epoch; larger is better."""
    value = val[validation_figure(optim.select_by)]
    if value is None or not math.isfinite(value):
        return -math.inf
    return -value if optim.select_by == "loss" else float(value)


def require_split(faces: Faces, name: str) -> FaceSplit:
    """A split that a training needs. Raises JobError where the data set has no image for it."""
    if name not in faces.splits:
        raise JobError(
            f"The data set has no labelled {name} image, which a training needs. Look at what its import "
            "reported, or choose another label rule.",
            resumable=False,
        )
    return faces.splits[name]


def class_counts(split: FaceSplit, classes: Sequence[str]) -> Tensor:
    """Images a class (K,) of the training part, of soft labels their sums.

    Raises JobError where a class has none: it could never be learned, and its weight would be infinite.
    """
    targets = split.targets
    if targets.is_floating_point():
        counts = targets.sum(0)
    else:
        counts = torch.bincount(targets, minlength=len(classes)).float()
    empty = [name for name, count in zip(classes, counts.tolist(), strict=True) if count == 0]
    if empty:
        raise JobError(
            f"No training image shows {', '.join(empty)}. Choose another label rule or a larger share of "
            "the training part, or leave the class out of the data set.",
            resumable=False,
        )
    return counts


def require_same_run(state: dict[str, Any], config: TrainConfig, fingerprint: str) -> None:
    """Raise JobError where a checkpoint is of another run: other data, or other settings that matter."""
    if state["data_fingerprint"] != fingerprint:
        raise JobError(
            "The data set has changed since the checkpoint was written. Bring back the one it began with, "
            "or start a new run.",
            resumable=False,
        )
    if forbidden := forbidden_changes(from_dict(TrainConfig, state["config"]), config):
        text = "; ".join(f"{name} was {a} and is {b}" for name, (a, b) in forbidden.items())
        raise JobError(
            f"The checkpoint was made with other settings ({text}). Start a new run.", resumable=False
        )


def collapse_notices(end: EpochEnd, classes: Sequence[str]) -> Iterator[Notice]:
    """Say it when the network has stopped to tell faces apart, and what helps."""
    remedy = (
        "Lower optim.learning_rate, lengthen optim.warmup_steps, or raise network.alpha_start "
        "(2 works well with network.stem_norm)."
    )
    alpha = end.val.get("alpha_mean")
    if alpha is not None and alpha < 0.02:
        yield Notice(
            level="warning", text=f"α has fallen to {alpha:.3f}, which silences every answer. {remedy}"
        )
        return
    answers = np.asarray(end.val["confusion"]).sum(0)
    if np.count_nonzero(answers) == 1 and len(classes) > 1:
        answer = classes[int(answers.argmax())]
        text = f"Every validation face is answered with {answer}. If this stays so: {remedy}"
        yield Notice(level="warning", text=text)
