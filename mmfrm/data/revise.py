"""A new version of a data set out of another: samples left out, relabelled, tagged or added. No torch.

Pixels are not copied: the new folder names the packs of the old one by a relative path. Only faces that are
added bring pixels of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmfrm.control import Control
from mmfrm.data import adding
from mmfrm.data.duplicates import Duplicates, duplicates_of, find_leaks, summary
from mmfrm.data.ingest import result
from mmfrm.data.native import (
    FacePack,
    Sample,
    describe,
    is_native,
    read_description,
    read_samples,
    renumbered,
    write_whole,
)
from mmfrm.data.splits import assign
from mmfrm.events import Event, Finished, Notice, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.jobs import ReviseJob

NEAR_CONSTANT = "near_constant"


def revise(folder: Path, job: ReviseJob, control: Control) -> Iterator[Event]:
    """Write the new version into `job.out`. Done already, it says so at once.

    Raises FacePackError where the old version cannot be read, JobError where an edit names a sample or a
    class that is not there, or where nothing would be left.
    """
    source, out = Path(job.source), Path(job.out)
    if is_native(out):
        yield Finished(result=result(read_description(out)))
        return
    pack = FacePack(source)
    yield Started(resumed=False, facts={"images": len(pack.samples)})
    samples = _edited(pack, job)
    samples, removed = _without(pack, samples, job)
    if not samples:
        raise JobError("No image would be left. Leave out fewer.", resumable=False)
    changed = removed | _edits_of(job)
    yield Notice(text=f"{len(samples):,} of {len(pack.samples):,} images stay.")
    if job.carve > 0:
        samples, moved = _carved(pack, samples, job)
        changed |= {f"moved_to_{name}": count for name, count in moved.items()}
    if job.add:
        arrived = yield from adding.read_arrivals(folder, job.add, out, control)
        if arrived is None:
            return
        both = adding.merged(pack, samples, arrived)
        samples, changed = both.samples, changed | both.changed
        adding.write_places(out, both.places)
        yield from both.notices
    if control.stop_requested():
        yield Stopped(reason="a stop was asked for")
        return
    _write(pack, samples, out)
    report = {
        **pack.description.report,
        "duplicates": summary(_duplicates(out, pack, list(read_samples(out))), samples),
        "near_constant": [s.name for s in samples if NEAR_CONSTANT in s.flags][:100],
        "near_constant_count": sum(NEAR_CONSTANT in s.flags for s in samples),
        "changed": changed,
    }
    old = pack.description
    description = describe(
        out,
        name=old.name,
        layout=old.layout,
        classes=old.classes,
        vote_columns=old.vote_columns,
        drawn=old.drawn,
        report=report,
    )
    yield Finished(result=result(description))


def _edits_of(job: ReviseJob) -> dict[str, int]:
    counts = {"excluded": len(set(job.exclude)), "relabelled": len(job.relabel), "tagged": len(job.tags)}
    return {name: count for name, count in counts.items() if count}


def _edited(pack: FacePack, job: ReviseJob) -> list[Sample]:
    """Samples with the labels and tags that people gave. A label by hand takes the place of votes."""
    classes = pack.description.classes
    samples = list(pack.samples)
    named = [*job.exclude, *map(int, job.relabel), *map(int, job.tags)]
    if strange := [index for index in named if not 0 <= index < len(samples)]:
        raise JobError(f"The old version has no image {strange[0]}.", resumable=False)
    for index, name in job.relabel.items():
        if name and name not in classes:
            raise JobError(f"{name} is not a class of this data set.", resumable=False)
        label = classes.index(name) if name else None
        samples[int(index)] = replace(samples[int(index)], label=label, votes=None)
    for index, tags in job.tags.items():
        sample = samples[int(index)]
        flags = [*sample.flags, *(tag for tag in tags.split() if tag not in sample.flags)]
        samples[int(index)] = replace(sample, flags=flags)
    return samples


def _without(pack: FacePack, samples: list[Sample], job: ReviseJob) -> tuple[list[Sample], dict[str, int]]:
    """Samples that stay, and how many went for which reason."""
    gone = set(job.exclude)
    removed: dict[str, int] = {}
    if job.leave_out_near_constant:
        constant = {s.index for s in samples if NEAR_CONSTANT in s.flags} - gone
        removed["near_constant_left_out"] = len(constant)
        gone |= constant
    if job.leave_out_leaks:
        found = _duplicates(pack.folder, pack, samples)
        # What is left out already cannot be leaked to.
        splits = [None if s.index in gone else s.split for s in samples]
        leaks = find_leaks(found, splits)
        removed["leaking_left_out"] = len(leaks.exact) + len(leaks.near)
        gone |= {*leaks.exact, *leaks.near}
    return [s for s in samples if s.index not in gone], removed


def _carved(pack: FacePack, samples: Sequence[Sample], job: ReviseJob) -> tuple[list[Sample], dict[str, int]]:
    """Samples with the splits that were missing. Neither a person nor a group of duplicates is parted."""
    splits, carved = assign(
        [s.split for s in samples],
        np.array([-1 if s.label is None else s.label for s in samples], np.int64),
        [s.sha256 for s in samples],
        _kept_together(pack, samples),
        fraction=job.carve,
        seed=job.seed,
    )
    if not carved:
        raise JobError("Nothing to carve: it has a validation split, or no train split.", resumable=False)
    moved = {name: splits.count(name) for name in carved}
    return [replace(s, split=name) for s, name in zip(samples, splits, strict=True)], moved


def _kept_together(pack: FacePack, samples: Sequence[Sample]) -> list[str | None]:
    """The group of each sample: its person, or, where that is unknown, its look-alikes.

    Named by content, so that the order of the samples does not change what is drawn.
    """
    alike: dict[int, str] = {}
    for group in _duplicates(pack.folder, pack, pack.samples).near:
        name = min(pack.samples[i].sha256 for i in group)
        alike |= dict.fromkeys(group, f"alike {name}")
    return [s.group if s.group is not None else alike.get(s.index) for s in samples]


def _duplicates(folder: Path, pack: FacePack, samples: Sequence[Sample]) -> Duplicates:
    """Drawn people look alike without being the same: of them only equal pictures count."""
    found = duplicates_of(folder, samples)
    return Duplicates(found.exact, found.exact) if pack.description.drawn else found


def _write(pack: FacePack, samples: Sequence[Sample], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    places = {name: _seen_from(out, pack.folder / name) for name in {s.pack for s in samples}}
    moved = (replace(sample, pack=places[sample.pack]) for sample in renumbered(samples))
    write_whole(out / "samples.jsonl", "".join(sample.line() + "\n" for sample in moved))
    write_whole(out / "refused.jsonl", "".join(refusal.line() + "\n" for refusal in pack.refusals()))


def _seen_from(out: Path, path: Path) -> str:
    return Path(os.path.relpath(os.path.abspath(path), os.path.abspath(out))).as_posix()  # noqa: PTH100 - as named
