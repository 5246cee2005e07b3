"""The machine's side of a job: device, threads, precision, determinism, memory."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from mmfrm.config import RuntimeConfig
from mmfrm.failures import JobError
from mmfrm.machine import allowed_threads, tune_allocator

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Runtime:
    """Where and how tensors are computed with."""

    device: torch.device
    precision: str  # fp32 | bf16 | fp16
    threads: int
    channels_last: bool = True
    compile: bool = False
    deterministic: bool = False
    notes: tuple[str, ...] = field(default=())  # what a person should know, e.g. a fallback

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout of image tensors and convolution weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in the chosen precision within."""
        with torch.autocast(self.device.type, dtype=DTYPES[self.precision], enabled=self.precision != "fp32"):
            yield

    def place(self, network: nn.Module) -> None:
        """Move a network here, in the layout that its convolutions like."""
        network.to(self.device)
        if self.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def send(self, tensor: Tensor) -> Tensor:
        """A tensor on the device; from pinned memory the copy overlaps with computing."""
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def synchronize(self) -> None:
        """Wait for the device, before reading a clock."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def memory_bytes(self) -> int:
        """Peak memory of the GPU, or the process's memory now where there is none."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return int(psutil.Process().memory_info().rss)

    def facts(self) -> dict[str, str | int]:
        """For the Started event."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        return {"device": str(self.device), "device_name": name, "precision": self.precision} | (
            {"threads": self.threads} if self.device.type == "cpu" else {}
        )


def prepare(config: RuntimeConfig) -> Runtime:
    """Choose device, threads and precision, and set the process up for them.

    Raises JobError where an explicitly chosen device or precision is not there.
    """
    tune_allocator()
    threads = config.threads or allowed_threads()
    torch.set_num_threads(threads)
    device = choose_device(config.device)
    precision, notes = choose_precision(config.precision, device)
    set_determinism(config.deterministic)
    return Runtime(
        device=device,
        precision=precision,
        threads=threads,
        # On MPS, channels-last convolutions are slower and have had faults; on the others they win.
        channels_last=config.channels_last and device.type != "mps",
        compile=config.compile,
        deterministic=config.deterministic,
        notes=notes,
    )


def choose_device(name: str) -> torch.device:
    """The device of that name; auto is a GPU where there is one, of a `torchrun` group the local one."""
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in has.items() if there)
    if not has[name]:
        raise JobError(f"There is no {name} device here. Set runtime.device to auto, or to cpu.")
    if name == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(local)
        return torch.device("cuda", local)
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> tuple[str, tuple[str, ...]]:
    """The precision to compute in, and notes. auto: bf16 where the hardware has it."""
    if name == "auto":
        return ("bf16" if has_fast_bf16(device) else "fp32"), ()
    if name == "bf16" and not has_fast_bf16(device):
        return name, (f"bf16 was asked for, but {device.type} computes it slowly here.",)
    return name, ()


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 is computed by hardware here: asked of torch, or measured where it cannot say."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return False  # autocast to bf16 works on some chips only, and gains little
    answers = [getattr(torch.cpu, f"_is_{kind}_supported", None) for kind in ("amx_tile", "avx512_bf16")]
    known = [bool(answer()) for answer in answers if answer is not None]
    return any(known) if known else bf16_is_measured_fast()


@lru_cache(maxsize=1)
def bf16_is_measured_fast() -> bool:
    """Whether a convolution of our kind is faster in bf16 than in fp32, by trying. Takes ~50 ms."""
    return _seconds(torch.bfloat16) * 1.2 < _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    images = torch.ones(8, 128, 14, 14, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.ones(128, 128, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    times = []
    with torch.no_grad():
        for _ in range(4):
            start = time.perf_counter()
            torch.conv2d(images, weight, padding=1)
            times.append(time.perf_counter() - start)
    return min(times)


def set_determinism(wanted: bool) -> None:
    """Same seed, same bits. Uninitialised memory is not filled: nothing of ours reads it."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if wanted != torch.are_deterministic_algorithms_enabled():  # the call imports the compiler: 2 s
        torch.use_deterministic_algorithms(wanted)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not wanted
    torch.backends.cudnn.deterministic = wanted


def set_seed(seed: int) -> None:
    """Seed every generator that a run may draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
