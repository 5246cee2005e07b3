"""Faces that come to a version from elsewhere: read like any source, and laid beside what is there. No torch.

A face whose pixels the version already has is not laid beside itself: its label is set right wherever
it is, and it stays in its split. So what somebody corrected of a data set's own faces finds its way back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmfrm.control import Control
from mmfrm.data.ingest import ingest
from mmfrm.data.native import FacePack, Sample, write_whole
from mmfrm.events import Event, Finished, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.jobs import ImportJob

FOLDER = "added"  # within the new version: the native data set of what came
PLACES = "added.jsonl"  # a line each: its name in the source, and the name of the sample that it became


@dataclass(frozen=True)
class Merged:
    """Old and new samples, which were changed, and what became of each that came: (name, sample's name)."""

    samples: list[Sample]
    changed: dict[str, int]
    places: list[tuple[str, str]]


def read_arrivals(
    folder: Path, source: str, out: Path, control: Control
) -> Generator[Event, None, FacePack | None]:
    """Import `source` into the new version's folder; None where that was stopped. Goes on after a kill."""
    job = ImportJob(source=source, out=str(out / FOLDER))
    for event in ingest(folder, job, control):
        if not isinstance(event, Started | Finished):
            yield event
        if isinstance(event, Stopped):
            return None
    return FacePack(out / FOLDER)


def merged(old: FacePack, samples: Sequence[Sample], arrived: FacePack) -> Merged:
    """Lay what came beside `samples`. Raises JobError for a class that the old version does not have."""
    labels = _labels(old.description.classes, arrived.description.classes)
    folder = os.path.relpath(arrived.folder, old.folder)
    result, places = list(samples), []
    at: dict[str, list[int]] = {}  # pixels, and every sample that shows them
    for i, sample in enumerate(result):
        at.setdefault(sample.pixels or sample.sha256, []).append(i)
    changed = {"added": 0, "corrected": 0, "confirmed": 0}
    for sample in arrived.samples:
        label = None if sample.label is None else labels[sample.label]
        there = at.get(sample.pixels or sample.sha256)
        if there is None:
            moved = replace(sample, label=label, votes=None, pack=f"{folder}/{sample.pack}")
            at[sample.pixels or sample.sha256] = [len(result)]
            result.append(moved)
            changed["added"] += 1
            places.append((sample.name, sample.name))
            continue
        for i in there:
            changed["confirmed" if result[i].label == label else "corrected"] += 1
            result[i] = replace(result[i], label=label, votes=None)
        places.append((sample.name, result[there[0]].name))
    return Merged(result, {what: n for what, n in changed.items() if n}, places)


def write_places(out: Path, places: Sequence[tuple[str, str]]) -> None:
    """Keep which sample each face became, for whoever tells where samples come from."""
    lines = (json.dumps({"name": name, "sample": sample}) + "\n" for name, sample in places)
    write_whole(out / PLACES, "".join(lines))


def _labels(old: Sequence[str], new: Sequence[str]) -> list[int]:
    strange = [name for name in new if name not in old]
    if strange:
        text = f"{', '.join(strange)}: not among the classes of the data set ({', '.join(old)})."
        raise JobError(f"{text} Map them first.", resumable=False)
    return [old.index(name) for name in new]
