"""Training step at batch 32, paper size: the released way against ours, side by side on this machine.

    python -m tests.benchmarks.bench_training_step [--rounds 3] [--batch 32]

The released way is plain fp32 eager: contiguous layout, Adam as it comes, the landmark network forward in
train mode (its gradients are not counted against it), and RFLoss by the per-sample loop that reads every
probability back to the host (facts of the released program). Ours is one `Learner.step` as a training
takes it, augmentation included. Each side runs in processes of its own, in turn, so that neither profits
from the other's allocator settings or warm caches, and a machine that slows down slows both.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 3  # timed, after one to warm up


def released_rfloss(probabilities: Tensor, labels: Tensor, classes: int) -> float:
    """The released loop: every class's list is the same list, and every entry goes through the host."""
    total = 0.0
    for k in range(classes):
        mine = [float(p) for p, label in zip(probabilities, labels, strict=True) if int(label) == k]
        mean = sum(mine) / (len(mine) + 1e-4)
        for i in range(len(labels)):
            total += math.sqrt((probabilities[i].item() - mean) ** 2)
    return total / 64


def released_step(batch: int) -> Callable[[], None]:
    """One step of the released program."""
    from mmfrm.nn import MMFRM, MobileFaceNet

    torch.manual_seed(0)
    network, landmarks = MMFRM(7).train(), MobileFaceNet().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)
    images, labels = torch.randn(batch, 3, 112, 112), torch.randint(0, 7, (batch,))

    def step() -> None:
        with torch.no_grad():
            feature1, feature2, feature3, *_ = landmarks(images)
        _, logits = network(images, feature1, feature2, feature3)
        p = logits.softmax(1)[torch.arange(batch), labels]
        loss = 0.9 * F.cross_entropy(logits, labels) + 0.2 * released_rfloss(p, labels, 7)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def our_step(batch: int) -> Callable[[], None]:
    """One step of a training with the `paper` preset."""
    from mmfrm.ddp import Group
    from mmfrm.learner import Learner
    from mmfrm.nn import build_network
    from mmfrm.presets import presets
    from mmfrm.runtime import prepare
    from mmfrm.settings import replace

    config = replace(presets()["paper"], {"network.landmarks": "scratch", "optim.batch_size": batch})
    runtime = prepare(config.runtime)
    torch.manual_seed(0)
    network = build_network(config.network, 7)
    frozen = replace(config, {"network.landmarks": "frozen"})
    network.landmarks_are_frozen = True  # random, but frozen: the weights' values cost nothing
    assert network.landmarks is not None
    network.landmarks.requires_grad_(False)
    learner = Learner(
        network,
        frozen,
        runtime=runtime,
        processes=Group(),
        class_counts=torch.ones(7),
        steps_per_epoch=400,
    )
    images = torch.randint(0, 256, (batch, 3, 112, 112), dtype=torch.uint8)
    labels = torch.randint(0, 7, (batch,))

    def step() -> None:
        learner.step(images, labels, rfloss_active=True)

    return step


SIDES = {"released": released_step, "ours": our_step}


def measure(side: str, batch: int) -> float:
    """Images a second: the median step's."""
    step = SIDES[side](batch)
    step()
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return batch / sorted(times)[len(times) // 2]


def in_own_process(side: str, batch: int) -> float:
    """The same, in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_training_step", "--only", side]
    done = subprocess.run([*command, "--batch", str(batch)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Print images a second of both, and how many times faster ours is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--only", choices=tuple(SIDES))
    given = parser.parse_args()
    if given.only:
        print(measure(given.only, given.batch))
        return
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(given.rounds):
        for side in SIDES:
            rates[side].append(in_own_process(side, given.batch))
    best = {side: max(values) for side, values in rates.items()}
    ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates["released"], strict=True)]
    print(json.dumps({"batch": given.batch, "images_per_second": rates, "best": best, "ratios": ratios}))


if __name__ == "__main__":
    main()
