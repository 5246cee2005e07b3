"""Several processes on one global batch: `torchrun --nproc-per-node 2 -m mmfrm run FOLDER`.

Each process takes every world-th image of each global batch; gradients are averaged by torch's
DistributedDataParallel, norm statistics and epoch statistics are those of the global batch, and only
rank 0 reads commands, writes files and is heard. So the loss curve is that of one process.

torch's SyncBatchNorm needs CUDA. On other devices `SyncedBatchNorm` does the same with two all-reduces,
so that the CPU test (gloo) checks the very arithmetic that several GPUs rely on.
"""

from __future__ import annotations

import ctypes
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Group:
    """This process's place among those that train together; alone, it is rank 0 of 1."""

    rank: int = 0
    world: int = 1

    @property
    def speaks(self) -> bool:
        """Whether this process writes files and events."""
        return self.rank == 0

    def part_of(self, positions: Any) -> Any:
        """This process's images of a global batch."""
        return positions[self.rank :: self.world]

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network as its forward pass is called in training: gradients are averaged over processes."""
        if self.world == 1:
            return network
        ids = [device.index] if device.type == "cuda" else None
        # Norms are of the global batch, so every process has the same buffers without sending them.
        known = inspect.signature(DistributedDataParallel).parameters
        quiet = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {quiet: False}
        return DistributedDataParallel(network, device_ids=ids, **options)

    def agree(self, *wishes: bool) -> tuple[bool, ...]:
        """Rank 0's view, or any process's wish: every process gets the same answer, at the same step."""
        if self.world == 1:
            return wishes
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        flags = torch.tensor([float(w) for w in wishes], device=device)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return tuple(bool(f) for f in flags.tolist())

    def share(self, value: Any) -> Any:
        """Rank 0's value, in every process."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def group(device: torch.device) -> Iterator[Group]:
    """The group of a `torchrun`, set up and torn down; a group of one without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Group()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    # Never freed: whoever frees gloo's group holds the interpreter's lock while it joins gloo's threads, and
    # one of them may want that lock to let go of the last tensors it gathered. The process hung at its end.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(dist.group.WORLD))
    try:
        yield Group(rank=dist.get_rank(), world=world)
    finally:
        dist.destroy_process_group()


def synchronize_norms(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with every trained batch norm looking at the global batch."""
    if device.type == "cuda":
        synced: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return synced
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, _synced(child))
        else:
            synchronize_norms(child, device)
    return network


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the images of all processes, on any device and backend. In eval mode, as usual."""

    def forward(self, x: Tensor) -> Tensor:
        # (b, C, H, W) of each process -> the same
        if not self.training:
            return super().forward(x)
        wide = x if x.dtype == torch.float64 else x.float()
        y, mean, variance, count = _NormOverProcesses.apply(wide, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        self._remember(mean, variance, count)
        return y.to(x.dtype)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / (count - 1), momentum)


class _NormOverProcesses(torch.autograd.Function):
    """Ioffe & Szegedy 2015 with sums over all processes, in as few passes over the maps as torch's own.

    x (b, C, H, W), weight (C,), bias (C,), eps -> y (b, C, H, W), and of all processes together mean (C,),
    biased variance (C,), count of values a channel (1,).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        mean, variance, count = _of_all(*torch.batch_norm_update_stats(x, None, None, 0.0), x)
        y = torch.batch_norm(x, weight, bias, mean, variance, False, 0.0, eps, False)
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, count)
        return y, mean, variance, count

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        _, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, mean, variance, None, None, False, ctx.eps, [False, True, True]
        )
        # dx = γ/σ · (dy − E[dy] − x̂ · E[dy · x̂]), as a · dy + b · x + c with one of each a channel.
        mean_dy_xhat, mean_dy = (_total(torch.cat([d_weight, d_bias])) / count).chunk(2)
        spread = torch.rsqrt(variance + ctx.eps)
        a = weight * spread
        b = -a * spread * mean_dy_xhat
        c = -a * mean_dy - b * mean
        a, b, c = (v[:, None, None] for v in (a, b, c))
        return torch.addcmul(torch.addcmul(c, x, b), dy, a), d_weight, d_bias, None


def _of_all(mean: Tensor, variance: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """This process's mean (C,) and biased variance (C,) of x (b, C, H, W) to those of all processes, and the
    count of values a channel (1,). One message, since the processes wait for each other at every norm."""
    count = x.new_full((1,), x.numel() // x.shape[1])
    mine = torch.cat([mean, variance, count])
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    every = torch.stack(parts)  # (processes, 2C + 1)
    shares = every[:, -1:] / every[:, -1:].sum()
    means, variances = every[:, :-1].chunk(2, dim=1)
    whole = (shares * means).sum(0)
    # Distances from the whole mean: E[x²] − E[x]² loses what matters where the mean is large.
    return whole, (shares * (variances + (means - whole).square())).sum(0), every[:, -1].sum()[None]


def _total(values: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    dist.all_reduce(values)
    return values


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce whose gradient is all-reduced too: every process's loss depends on the sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _total(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _total(gradient.clone())


def sum_over_processes(values: Tensor) -> Tensor:
    """All-reduce that gradients pass through, back to every process."""
    total: Tensor = _SumOverProcesses.apply(values)  # type: ignore[no-untyped-call]
    return total


def _synced(norm: nn.BatchNorm2d) -> SyncedBatchNorm:
    synced = SyncedBatchNorm(
        norm.num_features,
        eps=norm.eps,
        momentum=norm.momentum,
        device=norm.weight.device,
        dtype=norm.weight.dtype,
    )
    synced.load_state_dict(norm.state_dict())
    synced.weight.requires_grad_(norm.weight.requires_grad)
    synced.bias.requires_grad_(norm.bias.requires_grad)
    return synced.train(norm.training)
