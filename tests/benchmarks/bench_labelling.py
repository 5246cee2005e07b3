"""A zip of JPEG face crops to a finished CSV: the whole product against `mmfrm predict` alone, and `fer`.

    python -m tests.benchmarks.bench_labelling --model FOLDER --faces ferplus.zip [--images 10000]
        [--fer PYTHON] [--fer-images 300]

Ours alone is `python -m mmfrm predict`, before and after the product, so that a machine that changes its
speed shows it; the product is a fresh one, in which `manage.py label ZIP --csv FILE` takes the zip in,
queues it, waits for its worker and writes the CSV from the database. Both are timed whole, from the command
to its end. --fer: the Python of an environment with the `fer` package of PyPI (25.10, TensorFlow); it
labels the first of the same files through its public API, the whole crop fed as the face. Loading and a
first answer are not timed there, so it is compared with the rate that `predict` states, which leaves out
loading too. Accuracies are of the files whose FERPlus majority is one of its seven classes.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image

from tests.product import REPOSITORY, Product, start_product

SIDE = 112
FER = """
import csv, json, sys, time, warnings
from pathlib import Path
warnings.filterwarnings("ignore")
import cv2
from fer.fer import FER
files = [Path(sys.argv[1]) / name for name in json.loads(Path(sys.argv[2]).read_text())]
detector = FER(mtcnn=False)
def label(path):
    image = cv2.imread(str(path))
    height, width = image.shape[:2]
    found = detector.detect_emotions(image, face_rectangles=[(0, 0, width, height)])
    scores = found[0]["emotions"]
    return max(scores, key=scores.get)
label(files[0])
start = time.perf_counter()
said = {path.name: label(path) for path in files}
print(json.dumps({"seconds": time.perf_counter() - start, "said": said}))
"""
KEEP_MODEL = """
import json, shutil
from pathlib import Path
from webapp.accounts.services import first_administrator
from webapp.registry.models import Model
source = Path({folder!r})
about = json.loads((source / "model.json").read_text())
model = Model.objects.create(owner=first_administrator(), name="Bench", classes=about["classes"])
shutil.copytree(source, model.folder)
"""
SAME = {"angry": "anger", "happy": "happiness", "sad": "sadness"}


def write_crops(faces: Path, folder: Path, count: int) -> dict[str, str]:
    """`count` test and training faces as JPEGs of 112 × 112 pixels; answers the majority label of each."""
    labels: dict[str, str] = {}
    folder.mkdir()
    with zipfile.ZipFile(faces) as archive:
        rows = list(csv.reader(io.TextIOWrapper(archive.open("fer2013new.csv"), "utf-8")))
        votes = {row[1]: dict(zip(rows[0][2:], map(int, row[2:]), strict=True)) for row in rows[1:]}
        names = [name for name in archive.namelist() if name.endswith(".png")]
        names.sort(key=lambda name: (not name.startswith("FER2013Test/"), name))
        for name in names[:count]:
            path = folder / f"{Path(name).stem}.jpg"
            with archive.open(name) as file, Image.open(file) as image:
                image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=92)
            cast = votes.get(Path(name).name, {})
            best = max(cast, key=lambda k: cast[k], default="")
            labels[path.name] = best if cast and 2 * cast[best] > sum(cast.values()) else ""
    return labels


def timed(command: list[str], **more: Any) -> float:
    """Seconds that a command takes, whole."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, **more)
    return time.perf_counter() - start


def alone(model: Path, source: Path, out: Path) -> tuple[float, dict[str, Any]]:
    """`python -m mmfrm predict`: seconds of the whole command, and what it says of itself."""
    command = [sys.executable, "-m", "mmfrm", "predict", str(source), "--model", str(model)]
    seconds = timed([*command, "--out", str(out)])
    last = json.loads((out / "events.jsonl").read_text().splitlines()[-1])
    result: dict[str, Any] = last["result"]
    return seconds, result


def through_product(product: Product, source: Path, table: Path) -> float:
    """The same files through queue, worker, database and CSV."""
    command = [sys.executable, "manage.py", "label", str(source), "--model", "Bench", "--csv", str(table)]
    return timed(command, cwd=REPOSITORY, env=dict(product.env))


def accuracy(said: dict[str, str], labels: dict[str, str]) -> float:
    """Share of right answers among files with a majority that is not contempt, which `fer` does not know."""
    asked = {name: labels[name] for name in said if labels[name] not in ("", "contempt", "unknown", "NF")}
    return sum(SAME.get(said[name], said[name]) == label for name, label in asked.items()) / max(
        1, len(asked)
    )


def main() -> None:
    """Measure and print, all rates in images a second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True, help="ferplus.zip")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--fer", type=Path, help="Python of an environment with the fer package")
    parser.add_argument("--fer-images", type=int, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        measure(given, Path(place))


def measure(given: argparse.Namespace, place: Path) -> None:
    crops, source, table = place / "crops", place / "crops.zip", place / "labels.csv"
    labels = write_crops(given.faces, crops, given.images)
    with zipfile.ZipFile(source, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(crops.iterdir()):
            archive.write(path, path.name)
    count = len(labels)
    before, _ = alone(given.model, source, place / "before")
    product = start_product(place / "data")
    try:
        product.query(KEEP_MODEL.format(folder=str(given.model.absolute())))
        whole = through_product(product, source, table)
    finally:
        product.stop()
    after, stated = alone(given.model, source, place / "after")
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    said = {row["file"]: row["class"] for row in rows}
    assert len(rows) == count == len(said), "a row a file"
    ours = 2 * count / (before + after)
    print(f"predict alone    {count / before:8.1f} and {count / after:.1f} images/s, the command whole")
    print(f"  as it states   {stated['images_per_second']:8.1f} images/s without loading, {stated['engine']}")
    print(
        f"through product  {count / whole:8.1f} images/s from zip to CSV: {count / whole / ours:.0%} of alone"
    )
    print(f"accuracy         {accuracy(said, labels):8.1%} over all files (training faces among them)")
    if given.fer is not None:
        against_fer(given, place, labels, said, stated["images_per_second"])


def against_fer(
    given: argparse.Namespace, place: Path, labels: dict[str, str], said: dict[str, str], ours: float
) -> None:
    tested = list(labels)[: given.fer_images]  # test faces come first
    (place / "names.json").write_text(json.dumps(tested))
    command = [str(given.fer), "-c", FER, str(place / "crops"), str(place / "names.json")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    rate = len(tested) / told["seconds"]
    mine = {name: said[name] for name in tested}
    print(
        f"fer              {rate:8.1f} images/s over {len(tested)} of the files: ours {ours / rate:.1f} times"
    )
    print(
        f"accuracy there   {accuracy(told['said'], labels):8.1%} by fer, {accuracy(mine, labels):.1%} by ours"
    )


if __name__ == "__main__":
    main()
