"""A data set of drawn faces: for a newcomer without data, and for tests. No torch.

Seven expressions on drawn people, each person in one split only. Learnable, but not trivial: expressions
are weak or strong, rest differs by person, and pose, light, blur, glasses, hands and scarves get in the way.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import simplejpeg

from mmfrm.classes import DRAWN
from mmfrm.control import Control
from mmfrm.data.measure import is_grey, measure, pixels_digest, thumbnail
from mmfrm.data.native import Description, Sample, describe, is_native, read_description
from mmfrm.data.pack_writer import PackWriter
from mmfrm.data.people import draw_person
from mmfrm.data.portrait import portrait
from mmfrm.events import Event, Finished, Started, Stopped
from mmfrm.jobs import DrawJob
from mmfrm.progress import Meter

PICTURES_A_PERSON = 12
CHUNK = 100  # images drawn at once by one process, and made to last together
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}  # of the people
# As in real data, some expressions are rarer.
PROPORTIONS = (0.2, 0.2, 0.15, 0.14, 0.12, 0.1, 0.09)  # in the order of DRAWN
WORTH_A_POOL = 400  # below this, starting processes costs more than it gains
VERSION = 1  # raised when the same seed draws other faces

Plan = tuple[int, int, int, str]  # index, person, label, split
Drawn = list[tuple[Sample, bytes]]


def draw(folder: Path, job: DrawJob, control: Control) -> Iterator[Event]:
    """Draw `job.count` faces into a native data-set folder at `job.out`; resumable, and the same by seed."""
    source_id = f"drawn {VERSION} {job.count} {job.seed}"
    if is_native(Path(job.out)):
        description = read_description(Path(job.out))
        if description.report.get("source_id") == source_id:
            yield _finished(description)
            return
    writer = PackWriter(Path(job.out), source_id)
    done = writer.journal.items
    plan = plan_pictures(job.count, job.seed)
    yield Started(resumed=writer.resumed, facts={"faces": job.count, "seed": job.seed, "done": done})
    meter = Meter(job.count, phase="drawing")
    meter.add(done)
    for faces in _drawn(plan[done:], job.seed):
        writer.add(faces, (), len(faces))
        meter.add(len(faces))
        if control.stop_requested():
            writer.close()
            yield Stopped(reason="a stop was asked for")
            return
        if meter.is_due():
            yield meter.say()
    yield meter.say()
    writer.finished()
    description = describe(
        Path(job.out),
        name="Drawn faces",
        layout="drawn",
        classes=list(DRAWN),
        vote_columns=None,
        drawn=True,
        report={"layout_reason": "made by this program", "seed": job.seed, "source_id": source_id},
    )
    yield _finished(description)


def _finished(description: Description) -> Finished:
    names = ("name", "layout", "classes", "images", "counts", "fingerprint", "report")
    return Finished(result={name: getattr(description, name) for name in names})


def plan_pictures(count: int, seed: int) -> list[Plan]:
    """Who shows what in which split, for each picture. Every split has every class if there is room."""
    people = max(3, -(-count // PICTURES_A_PERSON))
    rng = np.random.default_rng([seed, 0])
    split_of = _split_people(people, rng)
    label_of = np.zeros(count, np.int64)
    for split in SHARES:
        members = np.array([i for i in range(count) if split_of[i % people] == split], dtype=np.int64)
        label_of[members] = rng.permutation(_proportional(len(members)))
    return [(i, i % people, int(label_of[i]), split_of[i % people]) for i in range(count)]


def _split_people(people: int, rng: np.random.Generator) -> list[str]:
    held_out = max(1, round(people * SHARES["val"]))
    names = ["val"] * held_out + ["test"] * held_out + ["train"] * (people - 2 * held_out)
    return [names[i] for i in rng.permutation(people)]


def _proportional(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """`count` labels in the set proportions, each class at least once where count allows."""
    ends = np.round(np.cumsum(PROPORTIONS) / sum(PROPORTIONS) * count).astype(np.int64)
    labels = np.searchsorted(ends, np.arange(count), side="right")
    return np.minimum(labels, len(DRAWN) - 1).astype(np.int64)


def _drawn(plan: Sequence[Plan], seed: int) -> Iterator[Drawn]:
    """Chunks of drawn faces, in order, from as many processes as there are cores."""
    chunks = [plan[i : i + CHUNK] for i in range(0, len(plan), CHUNK)]
    workers = min(len(os.sched_getaffinity(0)), len(chunks))
    if workers < 2 or len(plan) < WORTH_A_POOL:
        yield from (draw_chunk(chunk, seed) for chunk in chunks)
        return
    # spawn: forking is unsafe in a program that has threads, and Linux is not everywhere
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    with pool:
        waiting: list[Future[Drawn]] = []
        try:
            for chunk in chunks:
                waiting.append(pool.submit(draw_chunk, chunk, seed))
                if len(waiting) > 2 * workers:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(cancel_futures=True)


def draw_chunk(chunk: Sequence[Plan], seed: int) -> Drawn:
    """Draw and encode some pictures; each depends on its index and the seed alone."""
    pictures = []
    for index, person, label, _ in chunk:
        who = draw_person(np.random.default_rng([seed, 1, person]))
        pictures.append(portrait(DRAWN[label], who, np.random.default_rng([seed, 2, index])))
    encoded = [bytes(simplejpeg.encode_jpeg(p, quality=90, colorsubsampling="420")) for p in pictures]
    seen = [simplejpeg.decode_jpeg(data, "RGB") for data in encoded]
    grey = [is_grey(pixels) for pixels in seen]
    figures = measure([thumbnail(pixels, g) for pixels, g in zip(seen, grey, strict=True)])
    return [
        (
            Sample(
                index=index,
                name=f"{split}/person-{person:05d}/{index:06d}-{DRAWN[label]}.jpg",
                split=split,
                label=label,
                pack="",
                offset=0,
                length=len(data),
                width=pixels.shape[1],
                height=pixels.shape[0],
                sha256=sha256(data).hexdigest(),
                group=f"person-{person:05d}",
                phash=measured.phash,
                pixels=pixels_digest(pixels, g),
                brightness=measured.brightness,
                sharpness=measured.sharpness,
                grey=g,
            ),
            data,
        )
        for (index, person, label, split), data, pixels, g, measured in zip(
            chunk, encoded, seen, grey, figures, strict=True
        )
    ]
