"""Import: any archive or folder in, a native data set out, everything odd listed. Resumable. No torch."""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from mmfrm.control import Control
from mmfrm.data.archive import Archive, LoneFile, open_archive
from mmfrm.data.choosing import chosen, identity, left_out_of
from mmfrm.data.csv_labels import read_csv
from mmfrm.data.duplicates import duplicates_of, summary
from mmfrm.data.entries import TABLES
from mmfrm.data.examine import Examined, examine
from mmfrm.data.fer2013 import read_fer2013
from mmfrm.data.ferplus import read_ferplus
from mmfrm.data.finding import PHOTOS_AT_ONCE, aligning, finder_of, one_thread
from mmfrm.data.folders import read_folders, read_images
from mmfrm.data.layout import Loaded, Plan, base
from mmfrm.data.native import (
    Description,
    FacePackError,
    Refusal,
    count,
    fingerprint,
    read_description,
    read_refusals,
    read_samples,
    write_description,
)
from mmfrm.data.pack_writer import PackWriter
from mmfrm.data.raf_db import read_raf_db
from mmfrm.data.tree import folder_around
from mmfrm.events import Event, Finished, Kept, Notice, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.jobs import ImportJob, SourceJob
from mmfrm.progress import Meter

VERSION = 3  # raised when the same source gives another data set
CHUNK_ITEMS = 128
CHUNK_BYTES = 16 * 2**20
COMMIT_SECONDS = 1.0  # how much work a kill can lose


def ingest(folder: Path, job: ImportJob, control: Control) -> Iterator[Event]:
    """Read `job.source` into a native data set at `job.out`. Done already, it says so at once.

    Raises JobError where nothing can be imported; a bad file is listed in refused.jsonl and passed over.
    """
    source, out = Path(job.source), Path(job.out)
    _refuse_one_folder(source, out)
    with _locked(out):
        if not source.exists():
            raise JobError(f"{source} is not there. Put it back, or name another source.")
        archive, only = open_source(source, job)
        try:
            yield from _ingest(archive, only, out, job, control)
        finally:
            archive.close()


def _ingest(
    archive: Archive, only: str | None, out: Path, job: ImportJob, control: Control
) -> Iterator[Event]:
    sought = f"find {job.min_face} {job.several} " if job.faces == "find" else ""
    source_id = f"{VERSION} {job.layout} {job.max_pixels} {sought}{identity(job)}{archive.identity}"
    done = _done(out, source_id)
    if done is not None:
        yield Finished(result=result(done))
        return
    writer = PackWriter(out, source_id)
    yield Started(resumed=writer.resumed, facts={"files": len(archive.entries), "done": writer.journal.items})
    plan = chosen(recognise(archive, job.layout, only, job.group_by), job)
    yield Notice(text=f"Read as {plan.layout}: {plan.reason}.")
    if writer.resumed:
        yield Notice(text=f"Going on after {writer.journal.items:,} of {plan.total:,} files.")
    elif writer.journal.refused_bytes == 0:  # a kill before the first images leaves these written
        writer.add((), [*archive.refusals, *plan.refusals], 0)
    yield from _arrivals(plan, writer, job, control)
    writer.close()
    if control.stop_requested():
        yield Stopped(reason="a stop was asked for")
        return
    if writer.journal.samples == 0:
        raise JobError(_nothing(out), resumable=False)
    archive.close()  # its list of files is large, and so is the plan
    description = finish(out, job, replace(plan, stream=_read_already), source_id)
    writer.finished()
    yield Finished(result=result(description))


def recognise(archive: Archive, layout: str = "auto", only: str | None = None, group_by: str = "") -> Plan:
    """How a source is to be read. `layout` other than auto is obeyed, or refused with the reason.

    only: the one table to go by, where the source is a CSV among its images; group_by: its column that
    says who is who. Raises JobError where the source has no such table or column.
    """
    if only is not None:
        others = [e for e in archive.entries if e.name != only and base(e.name).lower().endswith(".csv")]
        archive.entries = [e for e in archive.entries if e not in others]
    readers: dict[str, Callable[[], Plan | None]] = {
        "ferplus": lambda: read_ferplus(archive),
        "raf_db": lambda: read_raf_db(archive),
        "fer2013": lambda: read_fer2013(archive),
        "csv": lambda: read_csv(archive, group_by),
        "folders": lambda: read_folders(archive, asked_for=layout == "folders"),
        "images": lambda: read_images(archive),
    }
    wanted = list(readers) if layout == "auto" else [layout]
    for name in wanted:
        plan = readers[name]()
        if plan is not None and plan.total > 0:
            return plan
    if layout in ("auto", "images"):
        return read_images(archive)  # of no images: what was refused is listed all the same
    text = f"The source cannot be read as {layout}: what that layout needs is not in it. Try auto."
    raise JobError(text, resumable=False)


def open_source(source: Path, job: SourceJob) -> tuple[Archive, str | None]:
    """The archive of a source; for a CSV, the folder around it, and the CSV's name.

    A CSV that was uploaded stands alone: what lies beside it belongs to others.
    """
    listed = partial(open_archive, max_files=job.max_files, max_total_bytes=job.max_total_bytes)
    if job.filename.lower().endswith(TABLES) and source.is_file():
        return LoneFile(source, job.filename), None
    folder = folder_around(source)
    if folder is not None and folder != source:
        return listed(folder), source.name
    return listed(source, called=job.filename), None


def _refuse_one_folder(source: Path, out: Path) -> None:
    """A data set made among its own pictures would be a change of its source with every face."""
    folder = folder_around(source)
    if folder is not None and folder.exists() and out.exists() and folder.samefile(out):
        text = f"The data set would lie among its own pictures in {out}. Name another folder for it."
        raise JobError(text, resumable=False)


def _arrivals(plan: Plan, writer: PackWriter, job: ImportJob, control: Control) -> Iterator[Event]:
    """Examine what is left of the plan in threads, in order, and make it last."""
    meter = Meter(plan.total, phase="importing")
    meter.add(writer.journal.items)
    waiting: deque[Future[Examined]] = deque()
    pending: list[Examined] = []
    committed = time.monotonic()
    workers = len(os.sched_getaffinity(0))
    finder = finder_of(job)
    how = partial(
        examine,
        encode=plan.encode,
        max_pixels=job.max_pixels,
        align=None if finder is None else aligning(finder, job),
    )
    most, ready = (CHUNK_ITEMS, None) if finder is None else (PHOTOS_AT_ONCE, one_thread)
    # Threads: decoding, hashing and reading release the interpreter lock, and starting them is free.
    with ThreadPoolExecutor(workers, initializer=ready) as pool:
        for chunk in _chunks(plan.stream(writer.journal.items), most):
            waiting.append(pool.submit(how, chunk))
            if len(waiting) > workers:
                pending.append(waiting.popleft().result())
                meter.add(pending[-1].items)
            if time.monotonic() - committed > COMMIT_SECONDS:
                yield from _commit(writer, pending)
                committed = time.monotonic()
            if meter.is_due():
                yield meter.say()
            if control.stop_requested():
                break
        for future in waiting:
            pending.append(future.result())
            meter.add(pending[-1].items)
    yield from _commit(writer, pending)
    yield meter.say()


def _read_already(start: int) -> Iterator[Loaded]:
    return iter(())


def _commit(writer: PackWriter, pending: list[Examined]) -> Iterator[Event]:
    """Make what is pending last, and say so: a job that gets on survives any number of kills."""
    if not pending:
        return
    writer.add(
        [pair for examined in pending for pair in examined.arrived],
        [refusal for examined in pending for refusal in examined.refusals],
        sum(examined.items for examined in pending),
    )
    pending.clear()
    yield Kept(done=writer.journal.items)


def _chunks(stream: Iterator[Loaded], most: int) -> Iterator[Sequence[Loaded]]:
    """Groups of items, small enough in number and bytes to be held a few at a time."""
    chunk: list[Loaded] = []
    size = 0
    for item, data in stream:
        chunk.append((item, data))
        size += len(data) if isinstance(data, bytes) else 0
        if len(chunk) >= most or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def finish(out: Path, job: ImportJob, plan: Plan, source_id: str) -> Description:
    """Count, fingerprint, look for duplicates, and write dataset.json, which ends the import."""
    samples = list(read_samples(out))
    people = Counter(sample.group for sample in samples if sample.group is not None)
    verdicts = Counter(refusal.verdict for refusal in read_refusals(out))
    report: dict[str, Any] = {
        "source_id": source_id,
        "layout_reason": plan.reason,
        **plan.report,
        **({"faces_found_and_aligned": True} if job.faces == "find" else {}),
        **({"groups": {"count": len(people), "largest": max(people.values())}} if people else {}),
        **({"left_out": left_out_of(read_refusals(out))} if job.mapping else {}),
        **{verdict: verdicts[verdict] for verdict in ("refused", "repaired", "skipped")},
        "near_constant": [sample.name for sample in samples if "near_constant" in sample.flags][:100],
        "near_constant_count": sum("near_constant" in sample.flags for sample in samples),
        "duplicates": summary(duplicates_of(out, samples), samples),
    }
    description = Description(
        name=job.name or Path(job.source).stem,
        layout=plan.layout,
        classes=plan.classes,
        images=len(samples),
        counts=count(samples, plan.classes),
        fingerprint=fingerprint(samples, plan.classes, plan.vote_columns),
        vote_columns=plan.vote_columns,
        report=report,
    )
    write_description(out, description)
    return description


def result(description: Description) -> dict[str, Any]:
    """The headline of a data set, for the Finished event."""
    parts = asdict(description)
    return {k: parts[k] for k in ("name", "layout", "classes", "images", "counts", "fingerprint", "report")}


def _done(out: Path, source_id: str) -> Description | None:
    try:
        description = read_description(out)
    except FacePackError:
        return None
    return description if description.report.get("source_id") == source_id else None


def _nothing(out: Path) -> str:
    """Why no image arrived, by the commonest reasons."""
    reasons: dict[str, int] = {}
    refusal: Refusal
    for refusal in read_refusals(out):
        reasons[refusal.reason] = reasons.get(refusal.reason, 0) + 1
    common = sorted(reasons, key=lambda reason: -reasons[reason])[:3]
    told = "; ".join(f"{reasons[reason]:,} × {reason}" for reason in common) or "it is empty"
    return f"No image could be imported: {told}."


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One import into a folder at a time; a second one waits, and then finds it done."""
    out.mkdir(parents=True, exist_ok=True)
    # Not .lock: from a shell the job folder is the data-set folder, and its process holds that one.
    with (out / "import.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # released when the file closes, also when the process is killed
