"""How the accuracy on faces that were found and aligned depends on how tightly they are framed.

    python -m tests.benchmarks.bench_face_crop ferplus.zip MODEL_FOLDER [--faces 1000]

Validation faces of FERPlus are set into photos, their borders continued, found by the detector, aligned at
several scales of the template, and labelled by a model trained on FERPlus. The same faces as the data set
frames them show what is possible. Differences are paired; their 95 % intervals are those of a mean.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmfrm.checkpoint import load_model
from mmfrm.faces.align import TEMPLATE, aligned
from mmfrm.faces.detector import FaceDetector
from mmfrm.images import Pixels, decode
from mmfrm.labels import class_columns, label_votes

SCALES = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
SIDE, BORDER = 192, 96  # pixels of a face in its photo, and around it


def scaled(scale: float) -> NDArray[np.float64]:
    """The template with the face `scale` times as large about the middle of the crop."""
    middle = 112 / 2
    return middle + scale * (TEMPLATE - middle)


def known(source: Path, count: int, classes: tuple[str, ...]) -> tuple[list[Pixels], list[int]]:
    """Validation faces (48, 48, 3) with the majority's label, evenly over the list."""
    with zipfile.ZipFile(source) as archive:
        table = csv.reader(io.TextIOWrapper(archive.open(one(archive, "fer2013new.csv"))))
        columns = [name.strip() for name in next(table)[2:]]
        rows = [row for row in table if row[0] == "PublicTest" and row[1]]
        votes = np.array([[int(v) for v in row[2:]] for row in rows])
        wanted = class_columns(columns)
        found = label_votes(votes, wanted, "majority")
        names = [columns[k].lower() for k in wanted]
        labels = [classes.index(names[k]) if k >= 0 else -1 for k in found.labels]
        chosen = [(row[1], label) for row, label in zip(rows, labels, strict=True) if label >= 0]
        chosen = chosen[:: max(1, len(chosen) // count)][:count]
        folder = one(archive, "FER2013Valid/").removesuffix("/")
        faces = [decode(archive.read(f"{folder}/{name}")) for name, _ in chosen]
    return faces, [label for _, label in chosen]


def one(archive: zipfile.ZipFile, ending: str) -> str:
    """The name in the archive that ends so."""
    return next(name for name in archive.namelist() if name.endswith(ending))


def in_photo(face: Pixels) -> Pixels:
    """A face in a photo of its own, whose border continues its edges."""
    image = torch.from_numpy(face.copy()).permute(2, 0, 1)[None].float()
    large = torch.nn.functional.interpolate(image, size=(SIDE, SIDE), mode="bicubic", antialias=True)
    pixels = large[0].permute(1, 2, 0).clamp(0, 255).byte().numpy()
    return np.pad(pixels, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="edge")


def framed(face: Pixels) -> Pixels:
    """A face as the data set frames it, at the network's size."""
    image = torch.from_numpy(face.copy()).permute(2, 0, 1)[None].float()
    crop = torch.nn.functional.interpolate(image, size=(112, 112), mode="bilinear", antialias=True)
    return crop[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()


def answers(network: Any, crops: list[Pixels]) -> np.ndarray[Any, Any]:
    """Class indices (N,) of crops (112, 112, 3)."""
    said = []
    with torch.inference_mode():
        for start in range(0, len(crops), 64):
            batch = torch.from_numpy(np.stack(crops[start : start + 64])).permute(0, 3, 1, 2).contiguous()
            said.append(network(batch)[1].argmax(dim=1))
    return torch.cat(said).numpy()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = load_model(given.model)
    faces, labels = known(given.source, given.faces, tuple(model.classes))
    detector = FaceDetector(60)
    photos = [in_photo(face) for face in faces]
    found = [(f, photo, nearest(detector.find(photo))) for f, photo in zip(faces, photos, strict=True)]
    kept = [(f, p, points, k) for (f, p, points), k in zip(found, labels, strict=True) if points is not None]
    truth = np.array([label for *_, label in kept])
    apart = np.median([np.hypot(*(points[1] - points[0])) * 112 / SIDE for _, _, points, _ in kept])
    of = np.hypot(*(TEMPLATE[1] - TEMPLATE[0]))
    print(f"{len(kept)} of {len(faces)} found; eyes {apart:.1f} of 112 px apart, in the template {of:.1f}")
    right = {}
    for scale in SCALES:
        crops = [aligned(photo, points, scaled(scale)) for _, photo, points, _ in kept]
        right[scale] = answers(model.network, crops) == truth
    whole = answers(model.network, [framed(face) for face, *_ in kept]) == truth
    print(f"as the data set frames them: {whole.mean():.2%}")
    for scale, said in right.items():
        change = said.astype(float) - right[1.0]
        reach = 1.96 * change.std(ddof=1) / math.sqrt(len(change))
        recall = np.mean([said[truth == k].mean() for k in np.unique(truth)])
        against = f"against 1.00: {change.mean():+.2%} ± {reach:.2%}"
        print(f"scale {scale:.2f}: {said.mean():.2%}, mean-class {recall:.2%}; {against}")


def nearest(found: list[Any]) -> np.ndarray[Any, Any] | None:
    """The five points of the face in the middle of its photo."""
    middle = BORDER + SIDE / 2
    near = [f for f in found if np.abs(f.points[:2].mean(axis=0) - middle).max() < SIDE / 4]
    return near[0].points if near else None


if __name__ == "__main__":
    main()
