"""The data side, measured on this machine: import, cache, duplicates, augmentation, a whole epoch's feed.

    python -m tests.benchmarks.bench_data [--source ferplus.zip] [--images 5000]

Without a source it draws faces first. Rates are images a second by wall clock, with the plain way beside
them where there is one: a loop over single images, as a per-image data loader does it.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mmfrm.config import AugmentConfig, DataConfig
from mmfrm.control import Control
from mmfrm.data import Faces, open_faces
from mmfrm.data.augment import Augment
from mmfrm.data.drawn import draw
from mmfrm.data.duplicates import find_duplicates, look
from mmfrm.data.ingest import ingest
from mmfrm.data.native import FacePack
from mmfrm.data.sampling import order
from mmfrm.images import face
from mmfrm.jobs import DrawJob, ImportJob


def timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def report(name: str, images: int, seconds: float, note: str = "") -> None:
    print(f"{name:<44}{images:>8,} images {seconds:>8.2f} s {images / seconds:>10,.0f} /s  {note}")


def feed(faces: Faces, batch_size: int, *, batches: int) -> Callable[[], None]:
    """Batches as a training takes them: sampled, read from the cache, augmented."""
    split = faces.splits["train"]
    augment, generator = Augment(AugmentConfig()), torch.Generator().manual_seed(0)
    positions = order(split, DataConfig(), seed=0, epoch=0)

    def run() -> None:
        for start in range(0, batches * batch_size, batch_size):
            images, _ = split.batch(positions[start : start + batch_size])
            augment(images, generator)

    return run


def one_by_one(pack: FacePack, count: int) -> Callable[[], None]:
    """What a per-image loader does: decode, resize, convert and augment each image alone."""
    augment, generator = Augment(AugmentConfig()), torch.Generator().manual_seed(0)

    def run() -> None:
        for sample in pack.samples[:count]:
            pixels = np.ascontiguousarray(face(pack.bytes_of(sample)).transpose(2, 0, 1))
            augment(torch.from_numpy(pixels)[None], generator)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="an archive to import; left out, faces are drawn")
    parser.add_argument("--images", type=int, default=5000, help="faces to draw where there is no source")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), chosen.source, chosen.images)


def measure(folder: Path, source: Path | None, images: int) -> None:
    out = folder / "data"
    if source is None:
        seconds = timed(lambda: list(draw(folder, DrawJob(out=str(out), count=images), Control())))
        report("drawing", images, seconds)
    else:
        job = ImportJob(source=str(source), out=str(out))
        seconds = timed(lambda: list(ingest(folder, job, Control())))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        report("import", FacePack(out).description.images, seconds, f"{memory} MB with torch")
    pack = FacePack(out)
    total = len(pack.samples)
    seconds = timed(lambda: find_duplicates(pack.samples, lambda sample: look(pack.folder, sample)))
    report("duplicates, exact and near", total, seconds)
    cold = timed(lambda: open_faces(out, DataConfig(leave_out_leaks=False)))
    report("decoded cache, built", total, cold)
    report("decoded cache, found", total, timed(lambda: open_faces(out, DataConfig(leave_out_leaks=False))))
    faces = open_faces(out, DataConfig(leave_out_leaks=False))
    for batch_size in (32, 128):
        batches = min(40, len(faces.splits["train"]) // batch_size)
        feed(faces, batch_size, batches=2)()
        ours = timed(feed(faces, batch_size, batches=batches))
        report(f"feed at batch {batch_size}", batches * batch_size, ours)
    count = min(1000, total)
    plain = timed(one_by_one(pack, count))
    ratio = (plain / count) / (ours / (batches * batch_size))
    report("one by one, without cache", count, plain, f"the feed is {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
