"""How the import grows with its source: seconds, processor time and memory for archives of several sizes.

    python -m tests.benchmarks.bench_large_import --folder SCRATCH [--sizes 50000 200000]

Pictures are drawn by this program: an oval with features on a soft background, 48×48, grey, each different.
The import runs as the product runs it, in a child of its own, so that its memory is its own. On a machine
that is shared, compare processor seconds: they hardly depend on what else runs.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("anger", "happiness", "neutral", "sadness")
SPLITS = ("train", "train", "train", "val", "test")
SIDE = 48


def picture(index: int) -> bytes:
    """A PNG that no other index has."""
    random = np.random.default_rng(index)
    ground = Image.fromarray(random.integers(0, 256, (6, 6), np.uint8)).resize(
        (SIDE, SIDE), Image.Resampling.BICUBIC
    )
    pixels = np.asarray(ground).astype(np.int16)
    y, x = np.mgrid[:SIDE, :SIDE]
    across, down = random.uniform(12, 18), random.uniform(15, 21)
    pixels[((x - 24) / across) ** 2 + ((y - 24) / down) ** 2 < 1] += int(random.integers(-90, 90))
    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def write_archive(path: Path, count: int) -> None:
    """Class folders in a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i in range(count):
            archive.writestr(f"{SPLITS[i % 5]}/{CLASSES[i % 4]}/{i:07d}.png", picture(i))


def imported(source: Path, out: Path) -> tuple[float, float, int]:
    """Wall-clock seconds, processor seconds, and the largest memory in MB of one import."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "mmfrm", "import", str(source), "--out", str(out), "--events", "json"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"the import of {source} failed")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss * unit // 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="scratch: a gigabyte for 200,000 pictures")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 200_000])
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    before: tuple[int, float] | None = None
    for size in chosen.sizes:
        source, out = chosen.folder / f"drawn-{size}.zip", chosen.folder / f"drawn-{size}"
        if not source.exists():
            write_archive(source, size)
        shutil.rmtree(out, ignore_errors=True)
        seconds, busy, memory = imported(source, out)
        load = os.getloadavg()[0]
        figures = f"{seconds:.1f} s, {busy:.1f} s of processor, {memory} MB, load {load:.1f}"
        print(f"{size:>9,} pictures {figures}", flush=True)
        if before is not None:
            more, longer = size / before[0], busy / before[1]
            print(f"          {more:.2f} times the pictures, {longer:.2f} times the processor time")
        before = size, busy


if __name__ == "__main__":
    main()
