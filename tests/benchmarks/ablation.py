"""What each part of MMFRM is worth on real faces: short trainings in pairs, several seeds, with intervals.

    python -m tests.benchmarks.ablation --data ferplus.zip [--seeds 3] [--preset quick-look] [--out FOLDER]

Every cell is trained by the command line and judged on the test split. The same command goes on where it was
stopped. Differences are taken seed by seed, since a seed decides the weights, the part of the data and the
order; intervals are Student's, 95 %. `landmarks: random` are frozen features of an untrained landmark
network whose norms were calibrated on the training faces, so that their scale is not what is measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mmfrm.config import DataConfig
from mmfrm.data import Faces, open_faces
from mmfrm.nn import MobileFaceNet
from mmfrm.nn.landmark_weights import InputConvention, Normalise, save_landmark_weights

FIGURES = ("accuracy", "mean_class_accuracy")
CELLS: dict[str, dict[str, str]] = {
    "tcffm, RFLoss intended": {},
    "tcffm, RFLoss off": {"loss.rfloss": "off"},
    "concat": {"network.fusion": "concat"},
    "none": {"network.fusion": "none"},
    "landmarks random": {"network.landmark_weights": "RANDOM"},
}
PAIRS = (
    ("tcffm, RFLoss intended", "tcffm, RFLoss off"),
    ("tcffm, RFLoss intended", "concat"),
    ("tcffm, RFLoss intended", "none"),
    ("tcffm, RFLoss intended", "landmarks random"),
)
# Student's t for a 95 % interval, by the number of seeds.
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def random_landmarks(faces: Faces, path: Path, *, batches: int = 30, batch_size: int = 64) -> None:
    """Write weights of an untrained landmark network with calibrated norms."""
    torch.manual_seed(0)
    network, convention = MobileFaceNet(outputs=136, classes=0).train(), InputConvention()
    prepared, train = Normalise(convention), faces.splits["train"]
    chosen = torch.randperm(len(train)).numpy()
    with torch.no_grad():
        for start in range(0, min(len(chosen), batches * batch_size), batch_size):
            images, _ = train.batch(chosen[start : start + batch_size])
            network(prepared(images))
    save_landmark_weights(path, network.state_dict(), convention, {"trained": False})


def train(data: Path, preset: str, out: Path, settings: dict[str, str]) -> dict[str, Any]:
    """The test figures of one training, done now unless an earlier call has."""
    command = [
        sys.executable,
        "-m",
        "mmfrm",
        "train",
        "--data",
        str(data),
        "--preset",
        preset,
        "--out",
        str(out),
    ]
    command += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    figures: dict[str, Any] = [e for e in events if e["kind"] == "evaluated" and e["split"] == "test"][-1][
        "figures"
    ]
    return figures


def interval(values: Sequence[float]) -> str:
    """Mean and half of the 95 % interval, in points."""
    mean = 100 * statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:6.2f}"
    half = 100 * STUDENT[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:6.2f} ± {half:5.2f}"


def tell(results: dict[str, list[dict[str, Any]]]) -> None:
    """Two tables in Markdown: the cells, and the paired differences."""
    print("| cell | " + " | ".join(FIGURES) + " |\n| --- |" + " --- |" * len(FIGURES))
    for cell, runs in results.items():
        print(f"| {cell} | " + " | ".join(interval([r[f] for r in runs]) for f in FIGURES) + " |")
    print("\n| first minus second, points | " + " | ".join(FIGURES) + " |\n| --- |" + " --- |" * len(FIGURES))
    for one, other in PAIRS:
        if one in results and other in results:
            pairs = list(zip(results[one], results[other], strict=False))
            columns = (interval([a[f] - b[f] for a, b in pairs]) for f in FIGURES)
            print(f"| {one} − {other} | " + " | ".join(columns) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", default="quick-look")
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 11))
    parser.add_argument("--out", type=Path, default=Path("var/ablation"))
    parser.add_argument("--cells", nargs="*", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="GROUP.NAME=VALUE")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    shared = dict(setting.split("=", 1) for setting in arguments.settings)
    random = arguments.out / "random-landmarks.safetensors"
    if "landmarks random" in arguments.cells and not random.exists():
        random_landmarks(open_faces(arguments.data, DataConfig()), random)
    results: dict[str, list[dict[str, Any]]] = {cell: [] for cell in arguments.cells}
    for seed in range(arguments.seeds):  # all cells of a seed first, so that a stopped ablation has pairs
        for cell in arguments.cells:
            own = {k: str(random) if v == "RANDOM" else v for k, v in CELLS[cell].items()}
            settings = {**shared, **own, "runtime.seed": str(seed)}
            folder = arguments.out / f"{cell.replace(', ', '-').replace(' ', '-')}-{seed}"
            results[cell].append(train(arguments.data, arguments.preset, folder, settings))
            print(f"{cell}, seed {seed}: " + ", ".join(f"{f} {results[cell][-1][f]:.4f}" for f in FIGURES))
            sys.stdout.flush()
    tell(results)


if __name__ == "__main__":
    main()
