"""How weights move: optimizers, the learning rate's schedule, averaged weights, SAM."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from mmfrm.config import OptimConfig

N = TypeVar("N", bound=nn.Module)


def make_optimizer(network: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """The chosen optimizer over what is trained; norms and biases are not decayed."""
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in trained)
    if config.optimizer == "sgd":
        nesterov = config.momentum > 0
        return torch.optim.SGD(
            groups, lr=config.learning_rate, momentum=config.momentum, nesterov=nesterov, fused=fused
        )
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate, fused=fused)


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a saved state, each tensor in its parameter's memory layout.

    The fused kernels walk parameter and moments side by side in memory, so a moment in another layout
    would be paired with the wrong weights.
    """
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        for name, moment in moments.items():
            if isinstance(moment, Tensor) and moment.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)


class Schedule:
    """The learning rate of each step.

    A function of the step, but for `plateau`, which also remembers how often it has decayed. What people
    order later bends it from a step on and leaves the steps before as they were. After an extension, a
    cosine goes on as if it had been planned over the new number of epochs from its start.
    """

    def __init__(self, config: OptimConfig, steps_per_epoch: int) -> None:
        self._config = config
        self._steps_per_epoch = max(steps_per_epoch, 1)
        self._best: float | None = None
        self._worse_epochs = 0
        self._decays = 0
        # From which step on: factor of the rate, epochs in all.
        self._course: list[tuple[int, float, int]] = [(0, 1.0, config.epochs)]

    @property
    def epochs(self) -> int:
        """Epochs of the whole run, as it is planned now."""
        return self._course[-1][2]

    @property
    def factor(self) -> float:
        """What multiplies the rate now."""
        return self._course[-1][1]

    def bend(self, step: int, *, factor: float | None = None, epochs: int | None = None) -> None:
        """From a step on, another factor or another number of epochs; what is None stays."""
        self._course.append(
            (
                step,
                self.factor if factor is None else factor,
                self.epochs if epochs is None else epochs,
            )
        )

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0 over the whole run."""
        config = self._config
        warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
        _, factor, epochs = next(turn for turn in reversed(self._course) if turn[0] <= step)
        return config.learning_rate * warm * self._decay(step, epochs) * factor

    def rate_after_warmup(self, step: int) -> float:
        """What the schedule alone would give at a step, without warm-up and ordered factors."""
        return self._config.learning_rate * self._decay(step, self.epochs)

    def _decay(self, step: int, epochs: int) -> float:
        config = self._config
        if config.schedule == "cosine":
            total = max(epochs * self._steps_per_epoch - config.warmup_steps, 1)
            done = min(max(step - config.warmup_steps, 0) / total, 1.0)
            return 0.5 * (1 + math.cos(math.pi * done))
        if config.schedule == "exponential":
            return float(config.gamma ** (step // self._steps_per_epoch))
        return float(config.gamma**self._decays)  # constant: never decays

    def epoch_ended(self, figure: float) -> None:
        """Tell the validation figure (larger is better) of an epoch; only `plateau` listens."""
        if self._config.schedule != "plateau":
            return
        if self._best is None or figure > self._best:
            self._best, self._worse_epochs = figure, 0
            return
        self._worse_epochs += 1
        if self._worse_epochs >= self._config.plateau_epochs:
            self._decays += 1
            self._worse_epochs = 0

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        course = [list(turn) for turn in self._course]
        plateau = {"best": self._best, "worse_epochs": self._worse_epochs, "decays": self._decays}
        return {**plateau, "course": course}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._best, self._worse_epochs, self._decays = state["best"], state["worse_epochs"], state["decays"]
        # Checkpoints from before runs could be steered have none.
        self._course = [(step, factor, epochs) for step, factor, epochs in state.get("course", self._course)]


class AveragedWeights(Generic[N]):
    """An exponential moving average of a network's parameters and norm statistics.

    The decay rises from 0.1 with the steps, so that the random start is soon forgotten.
    """

    def __init__(self, network: N, decay: float) -> None:
        self.network: N = copy.deepcopy(network).requires_grad_(False).eval()
        self._decay = decay
        self._pairs = _moving(self.network, network)
        self._counters = _counting(self.network, network)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the network's weights after a step (from 0)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        averages, current = self._pairs
        torch._foreach_lerp_(averages, current, 1 - decay)
        for mine, theirs in self._counters:
            mine.copy_(theirs)


def _moving(average: nn.Module, network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Trained parameters and floating buffers of both, side by side."""
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    buffers = {name for name, b in network.named_buffers() if b.is_floating_point()}
    mine = dict(average.named_parameters()) | dict(average.named_buffers())
    theirs = dict(network.named_parameters()) | dict(network.named_buffers())
    names = [name for name in theirs if name in trained or name in buffers]
    return [mine[n].data for n in names], [theirs[n].data for n in names]


def _counting(average: nn.Module, network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    mine = dict(average.named_buffers())
    return [(mine[n], b) for n, b in network.named_buffers() if not b.is_floating_point()]


@torch.no_grad()
def climb(parameters: Iterable[nn.Parameter], rho: float) -> list[tuple[nn.Parameter, Tensor]]:
    """SAM's first half: move `rho` up the gradient. Returns what was, for `descend`.

    Foret et al., "Sharpness-Aware Minimization", ICLR 2021 (arXiv 2010.01412).
    """
    moved = [p for p in parameters if p.grad is not None]
    gradients = [p.grad for p in moved if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    before = [(p, p.detach().clone()) for p in moved]
    for parameter, gradient in zip(moved, gradients, strict=True):
        parameter.add_(gradient * (rho / (norm + 1e-12)))
    return before


@torch.no_grad()
def descend(before: Iterable[tuple[nn.Parameter, Tensor]]) -> None:
    """SAM's second half: back to where `climb` started, before the optimizer's step."""
    for parameter, old in before:
        parameter.copy_(old)


@contextmanager
def norms_at_rest(network: nn.Module) -> Iterator[None]:
    """Running norm statistics do not move within: SAM's second pass sees the same batch again."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
