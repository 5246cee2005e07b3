"""RFLoss without a loop, side by side with the loop that the released program has.

python -m tests.benchmarks.bench_rfloss
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from mmfrm.loss import RFLoss


def loop(logits: Tensor, labels: Tensor) -> Tensor:
    """The intended form as the released program would write it: a scalar read a sample and class."""
    p = torch.softmax(logits, 1)
    total = torch.zeros(())
    for k in range(logits.shape[1]):
        own = [p[i, k] for i in range(len(labels)) if labels[i].item() == k]
        if not own:
            continue
        mean = torch.stack(own).sum() / (len(own) + 1e-4)
        for x in own:
            total = total + (x - mean).abs()
    return total / (2 * len(labels))


def seconds(loss: Callable[[Tensor, Tensor], Tensor], repeats: int) -> float:
    """Of the fastest forward and backward pass at B = 256."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(256, 7, generator=generator, requires_grad=True)
    labels = torch.randint(0, 7, (256,), generator=generator)
    times = []
    for _ in range(repeats):
        logits.grad = None
        start = time.perf_counter()
        loss(logits, labels).backward()  # type: ignore[no-untyped-call]
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Both give the same value; print what each takes."""
    generator = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(64, 7, generator=generator), torch.arange(64) % 7
    vectorised = RFLoss("intended")
    torch.testing.assert_close(vectorised(logits, labels), loop(logits, labels), rtol=1e-5, atol=0.0)
    slow, fast = seconds(loop, 5), seconds(vectorised, 200)
    print(f"RFLoss at B = 256, forward and backward: loop {slow * 1e3:.2f} ms, ours {fast * 1e6:.0f} µs")
    print(f"ratio {slow / fast:.0f}")


if __name__ == "__main__":
    main()
