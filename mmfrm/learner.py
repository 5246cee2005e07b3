"""One optimizer step after another: network, loss, optimizer, schedule, averaged weights, precision."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmfrm.config import TrainConfig
from mmfrm.data.augment import Augment
from mmfrm.data.sampling import POWERS
from mmfrm.ddp import Group, synchronize_norms
from mmfrm.engines.frozen import place
from mmfrm.images import SIDE
from mmfrm.loss import Criterion, LossParts, logit_adjustment
from mmfrm.nn import FaceNetwork
from mmfrm.optim import (
    AveragedWeights,
    Schedule,
    climb,
    descend,
    load_optimizer_state,
    make_optimizer,
    norms_at_rest,
    set_rate,
)
from mmfrm.runtime import Runtime
from mmfrm.schema import ConfigError


@dataclass(frozen=True)
class Outcome:
    """What one step saw. Everything stays on the device: reading it would wait for the step to end."""

    logits: Tensor  # (b, K)
    targets: Tensor  # (b,) or (b, K)
    alpha: Tensor  # (b, 1)
    parts: LossParts
    gradient_norm: Tensor  # scalar, before clipping
    learning_rate: float
    skips_overflow: bool  # fp16: a step whose gradients overflow does not move the weights


class Learner:
    """Takes steps. All randomness of a step (augmentation, dropout) is drawn from the run's seed, the
    step's number and the process's rank, so nothing of the generators need be saved to go on exactly.
    """

    def __init__(
        self,
        network: FaceNetwork,
        config: TrainConfig,
        *,
        runtime: Runtime,
        processes: Group,
        class_counts: Tensor,
        steps_per_epoch: int,
    ) -> None:
        if config.optim.sam_rho and runtime.precision == "fp16":
            raise ConfigError("optim.sam_rho", "does not go with fp16; use bf16 or fp32")
        place(network, runtime)
        if processes.world > 1:
            synchronize_norms(network, runtime.device)
        self.network = network
        self.step_count = 0
        self._config = config
        self._runtime = runtime
        self._processes = processes
        self.criterion = Criterion(config.loss, class_counts).to(runtime.device)
        self.schedule = Schedule(config.optim, steps_per_epoch)
        self._augment = Augment(config.augment)
        power = POWERS[config.data.sampling]
        adjustment = logit_adjustment(config.loss.logit_adjustment, power, class_counts)
        self._adjustment = None if adjustment is None else adjustment.to(runtime.device)
        self._trained = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = make_optimizer(network, config.optim)
        self._scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16")
        self._averaged = AveragedWeights(network, config.optim.ema) if config.optim.ema else None
        wrapped = processes.wrap(network, runtime.device)
        self._forward = torch.compile(wrapped) if runtime.compile else wrapped

    @property
    def answering(self) -> FaceNetwork:
        """The network to validate and to keep: the averaged one where there is one."""
        return self.network if self._averaged is None else self._averaged.network

    def step(
        self,
        images: Tensor,
        targets: Tensor,
        *,
        share: float = 1.0,
        side: int = SIDE,
        rfloss_active: bool = False,
    ) -> Outcome:
        """Learn from this process's images of a batch.

        images: (b, 3, 112, 112) uint8; targets: (b,) int64 or (b, K) float. `share`: weight of this
        process's mean loss, b · world / B, so that the average over processes is the batch's mean. `side`:
        see `FaceNetwork.forward`.
        """
        rate = self.schedule.rate(self.step_count)
        set_rate(self._optimizer, rate)
        images = self._augment(self._runtime.send(images), self._generator("augment"))
        targets = self._runtime.send(targets)
        backward = partial(self._backward, images, targets, share, side, rfloss_active)
        alpha, logits, parts = backward()
        if self._config.optim.sam_rho:
            self._look_from_above(backward)
        norm = self._move()
        if self._averaged is not None:
            self._averaged.update(self.step_count)
        self.step_count += 1
        scaled = self._scaler.is_enabled()
        return Outcome(logits.detach(), targets, alpha.detach(), parts, norm, rate, scaled)

    def _backward(
        self, images: Tensor, targets: Tensor, share: float, side: int, rfloss_active: bool
    ) -> tuple[Tensor, Tensor, LossParts]:
        """Gradients of the loss, from zero."""
        torch.manual_seed(self._seed("dropout"))
        self.network.train()
        self._optimizer.zero_grad()
        with self._runtime.autocast():
            alpha, logits = self._forward(images, side)
        logits, alpha = logits.float(), alpha.float()
        learned = logits if self._adjustment is None else logits + self._adjustment
        parts = self.criterion(learned, targets, rfloss_active)
        self._scaler.scale(parts.total * share).backward()
        return alpha, logits, parts

    def _look_from_above(self, backward: Callable[[], object]) -> None:
        """SAM: replace the gradients by those a little up the slope."""
        before = climb(self._trained, self._config.optim.sam_rho)
        with norms_at_rest(self.network):
            backward()
        descend(before)

    def _move(self) -> Tensor:
        """The optimizer's step; returns the gradients' norm before clipping."""
        self._scaler.unscale_(self._optimizer)
        gradients = [p.grad for p in self._trained if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        clip = self._config.optim.gradient_clip
        if clip:
            torch.nn.utils.clip_grads_with_norm_(self._trained, clip, norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return norm.detach()

    def _generator(self, purpose: str) -> torch.Generator:
        return torch.Generator(self._runtime.device).manual_seed(self._seed(purpose))

    def _seed(self, purpose: str) -> int:
        """A seed of its own for every purpose, step and process."""
        text = f"{self._config.runtime.seed}/{purpose}/{self.step_count}/{self._processes.rank}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest())

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on exactly."""
        return {
            "network": self.network.state_dict(),
            "averaged": None if self._averaged is None else self._averaged.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "schedule": self.schedule.state(),
            "step_count": self.step_count,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same config."""
        self.network.load_state_dict(state["network"])
        if self._averaged is not None:
            self._averaged.network.load_state_dict(state["averaged"])
        load_optimizer_state(self._optimizer, state["optimizer"])
        if state["scaler"]:  # empty where it was not fp16, which a resumed run may change
            self._scaler.load_state_dict(state["scaler"])
        self.schedule.restore(state["schedule"])
        self.step_count = state["step_count"]
