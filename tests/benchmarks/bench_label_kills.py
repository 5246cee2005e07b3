"""kill -9 of worker and child, again and again, during a batch: no row lost, none doubled.

    python -m tests.benchmarks.bench_label_kills --model FOLDER --faces ferplus.zip
        [--crops 8000] [--photos 120]

Face crops, then group photos whose faces are to be found, are labelled by a fresh product, first undisturbed,
then with kills, worker and child in turn, each once some more are done. Says whether the two CSVs are equal
to the byte, how many rows there are, whether the pictures that are kept (faces.pack, photos.pack) are equal
too, and how long both took: a dead worker is missed for 12 s, and kills in short order are answered by longer
and longer pauses, so ten kills cost about three minutes. 0 crops or photos leave that half out.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import signal
import tempfile
import time
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from tests.benchmarks.bench_labelling import KEEP_MODEL, write_crops
from tests.product import Product, start_product, wait_until

TILE, ACROSS, FACES = 120, 3, 6
KEPT = ("predictions.csv", "faces.pack", "photos.pack")
STATE = "SELECT state, done, total, attempt, losses, reason FROM jobs_job WHERE id = ?"


def write_photos(faces: Path, folder: Path, count: int) -> None:
    """Photos of FACES test faces each."""
    folder.mkdir()
    with zipfile.ZipFile(faces) as archive:
        names = [name for name in archive.namelist() if name.startswith("FER2013Test/")]
        names = [name for name in names if name.endswith(".png")]
        for i in range(count):
            photo = Image.new("RGB", (ACROSS * 2 * TILE, FACES // ACROSS * 2 * TILE), (110, 110, 110))
            for k in range(FACES):
                data = archive.read(names[(i * FACES + k) % len(names)])
                face = Image.open(io.BytesIO(data)).convert("RGB").resize((TILE, TILE))
                photo.paste(face, (2 * TILE * (k % ACROSS) + 60, 2 * TILE * (k // ACROSS) + 60))
            photo.save(folder / f"{i:04}.jpg", quality=90)


def begin(product: Product, source: Path, name: str, more: list[str]) -> int:
    """Queue the labelling of a folder; answers its job."""
    product.manage("label", str(source), "--model", "Bench", "--name", name, "--no-wait", *more)
    [(job,)] = product.rows("SELECT job_id FROM labeling_labelbatch WHERE name = ?", name)
    return int(job)


def state(product: Product, job: int) -> tuple[Any, ...]:
    """Of a job: state, done, total, attempt, losses, reason."""
    [row] = product.rows(STATE, job)
    assert row[0] != "failed", row
    return row


def has_reached(product: Product, job: int, done: int) -> bool:
    """Whether so many photos are done, or the job is over."""
    now = state(product, job)
    return bool(now[0] == "finished" or (now[0] == "running" and now[1] >= done))


def kill(product: Product, job: int, victim: str) -> bool:
    """SIGKILL, where there is somebody to be killed: a worker that was just killed is not yet followed."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        worker = psutil.Process(product.processes()["cpu"])
        children = [c for c in worker.children() if f"/jobs/{job}" in " ".join(c.cmdline())]
        for process in [worker] if victim == "worker" else children:
            os.kill(process.pid, signal.SIGKILL)
            return True
    return False


def disturb(product: Product, job: int, kills: int, total: int) -> int:
    """Kill worker and child in turn while the job goes on; answers how often."""
    done = 0
    for number in range(kills):
        enough = (number + 1) * total // (kills + 2)
        wait_until(partial(has_reached, product, job, enough), 300, f"{enough} pictures")
        if state(product, job)[0] == "finished":
            break
        victim = ("worker", "child")[number % 2]
        wait_until(partial(kill, product, job, victim), 60, f"a {victim} to kill")
        done += 1
    return done


def digests(product: Product, job: int) -> dict[str, str]:
    """What a job left, by its content."""
    paths = [product.data_dir / "jobs" / str(job) / name for name in KEPT]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}


def rows_of(product: Product, job: int) -> list[tuple[Any, ...]]:
    """Rows in the database, in the order of faces."""
    sql = (
        'SELECT p."index", p.file, p.box, p.face, p.detection, p.probabilities, p.error, p.photo '
        "FROM labeling_prediction p JOIN labeling_labelbatch b ON b.id = p.batch_id "
        'WHERE b.job_id = ? ORDER BY p."index"'
    )
    return product.rows(sql, job)


def compare(product: Product, source: Path, total: int, kills: int, more: list[str]) -> None:
    """Label undisturbed, then with kills, and print what differs."""
    jobs, made, took = [], 0, []
    for kind, count in (("undisturbed", 0), ("killed", kills)):
        began = time.monotonic()
        job = begin(product, source, f"{source.name}, {kind}", more)
        made += disturb(product, job, count, total)
        wait_until(partial(has_reached, product, job, 10**9), 600, f"{kind} at its end")
        took.append(time.monotonic() - began)
        jobs.append(job)
    attempts = state(product, jobs[1])[3]
    print(f"{source.name}: kill -9 {made} times, worker and child in turn; {attempts} attempts")
    for kind, job, seconds in zip(("undisturbed", "killed"), jobs, took, strict=True):
        rows = rows_of(product, job)
        different = len({row[0] for row in rows})
        print(f"  {kind:12} {len(rows)} rows, {different} different faces, {seconds:.0f} s")
    same = {"rows": rows_of(product, jobs[0]) == rows_of(product, jobs[1])}
    left = [digests(product, job) for job in jobs]
    same |= {name: left[0][name] == left[1].get(name) for name in left[0]}
    print("  equal        " + ", ".join(f"{name}: {is_same}" for name, is_same in same.items()), flush=True)


def main() -> None:
    """Both modes in one product."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True, help="ferplus.zip")
    parser.add_argument("--crops", type=int, default=8000)
    parser.add_argument("--photos", type=int, default=120)
    parser.add_argument("--kills", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        crops, photos = Path(place) / "crops", Path(place) / "photos"
        write_crops(given.faces, crops, given.crops)
        write_photos(given.faces, photos, given.photos)
        product = start_product(Path(place) / "data")
        try:
            product.query(KEEP_MODEL.format(folder=str(given.model.absolute())))
            if given.crops:
                compare(product, crops, given.crops, given.kills, [])
            if given.photos:
                compare(product, photos, given.photos, given.kills, ["--find-faces"])
        finally:
            product.stop()


if __name__ == "__main__":
    main()
