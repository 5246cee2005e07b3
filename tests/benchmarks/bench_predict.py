"""Labelling a folder of JPEGs end to end: fp32 eager one image at a time against `mmfrm predict`.

    python -m tests.benchmarks.bench_predict [--model FOLDER] [--images 480] [--rounds 3] [--plain-hardware]

Both sides read and decode the same files, compute with the same number of threads and write every
probability to a file. Each runs in processes of its own, in turn, so that a machine that slows down slows
both; the clock starts when the model is loaded and warm. Without --model a network of the paper's size
with random weights is measured, whose reduced-precision engines are taken as checked, since speed does
not depend on the weights; with it, only the engines that `mmfrm export` found accurate are used.
--plain-hardware hides the instructions for bf16 and int8 from both sides (ONEDNN_MAX_CPU_ISA=AVX2).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EAGER_SHARE = 8  # the eager side labels one in so many of the images: it is a rate that is compared


def eager(model: Path, source: Path, out: Path) -> dict[str, Any]:
    """The plain way: open, decode, resize, one forward pass and one line a file."""
    import numpy as np
    import torch
    from PIL import Image

    from mmfrm.checkpoint import load_model
    from mmfrm.machine import allowed_threads

    torch.set_num_threads(allowed_threads())
    network = load_model(model).network
    files = sorted(source.iterdir())[::EAGER_SHARE]

    def probabilities(file: Path) -> list[float]:
        with Image.open(file) as image:
            face = np.asarray(image.convert("RGB").resize((112, 112), Image.Resampling.BILINEAR))
        with torch.no_grad():
            _, logits = network(torch.from_numpy(face.copy()).permute(2, 0, 1)[None])
        found: list[float] = logits.softmax(1)[0].tolist()
        return found

    probabilities(files[0])
    start = time.perf_counter()
    with (out / "eager.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        for file in files:
            writer.writerow([file.name, *probabilities(file)])
    return {"engine": "torch-fp32, eager", "images_per_second": len(files) / (time.perf_counter() - start)}


def ours(model: Path, source: Path, out: Path) -> dict[str, Any]:
    """The `predict` job, from its Started event to its finished table."""
    from mmfrm.control import Control
    from mmfrm.events import Event, Finished, Started
    from mmfrm.jobs import PredictJob
    from mmfrm.predict import predict

    def events(folder: Path) -> Iterator[Event]:
        folder.mkdir()
        yield from predict(folder, PredictJob(model=str(model), source=str(source)), Control())

    start = 0.0
    for event in events(out / "ours"):
        if isinstance(event, Started):
            start = time.perf_counter()
        elif isinstance(event, Finished):
            seconds = time.perf_counter() - start
            rate = event.result["rows"] / seconds
            return {"engine": event.result["engine"], "images_per_second": rate}
    raise RuntimeError("the job did not finish")


SIDES = {"eager": eager, "ours": ours}


def write_jpegs(folder: Path, count: int) -> Path:
    """Face crops as RAF-DB has them: 100×100 colour JPEGs."""
    import numpy as np

    from mmfrm.images import encoded, resized

    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(count):
        picture = resized(random.integers(0, 256, (12, 12, 3), np.uint8), 100)
        (folder / f"{i:05}.jpg").write_bytes(encoded(picture))
    return folder


def untrained_model(folder: Path) -> Path:
    """The published network with random weights and with every engine that this machine may use."""
    from mmfrm.checkpoint import save_model
    from mmfrm.classes import EXPRESSIONS
    from mmfrm.config import NetworkConfig
    from mmfrm.engines.choice import PROGRAMS, available, noise
    from mmfrm.engines.int8 import quantise
    from mmfrm.engines.model_files import ModelFiles
    from mmfrm.nn import FaceNetwork

    config = NetworkConfig()
    save_model(folder, FaceNetwork(config, len(EXPRESSIONS)), classes=EXPRESSIONS, config=config, card={})
    files = ModelFiles(folder)
    quantise(files, noise(32))
    names = [name for program in PROGRAMS for name in available(files, program)]
    files.write_checks({name: {"is_accurate": True} for name in names if not name.endswith("-fp32")})
    return folder


def in_own_process(side: str, model: Path, source: Path) -> dict[str, Any]:
    """One side's figures, from a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_predict", "--only", side]
    done = subprocess.run(
        [*command, "--model", str(model), "--source", str(source)], check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(model: Path | None, images: int, rounds: int) -> dict[str, Any]:
    """Rates of both sides in every round, and how many times faster ours is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = model or untrained_model(folder / "model")
        source = write_jpegs(folder / "jpegs", images)
        in_own_process("ours", model, source)  # measures and remembers the fastest engine
        found = [{side: in_own_process(side, model, source) for side in SIDES} for _ in range(rounds)]
    ratios = sorted(f["ours"]["images_per_second"] / f["eager"]["images_per_second"] for f in found)
    return {
        "rounds": found,
        "ratios": [round(r, 2) for r in ratios],
        "median_ratio": round(ratios[len(ratios) // 2], 2),
    }


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--images", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain-hardware", action="store_true")
    parser.add_argument("--only", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain_hardware:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    if given.only:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(SIDES[given.only](given.model, given.source, Path(name))))
        return
    print(json.dumps(compare(given.model, given.images, given.rounds), indent=2))


if __name__ == "__main__":
    main()
