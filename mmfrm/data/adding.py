"""Faces that come to a version from elsewhere: read like any source, and laid beside what is there. No torch.

A face whose pixels the version already has is not laid beside itself: its label is set right wherever
it is, and it stays in its split. So what somebody corrected of a data set's own faces finds its way back.
One that comes without a label says nothing of the face that is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmfrm.control import Control
from mmfrm.data.ingest import ingest
from mmfrm.data.native import Description, FacePack, Sample, write_whole
from mmfrm.events import Event, Finished, Notice, Started, Stopped
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
    notices: list[Notice]


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
    columns = _same_columns(old.description, arrived.description)
    folder = os.path.relpath(arrived.folder, old.folder)
    result, places = list(samples), []
    at: dict[str, list[int]] = {}  # pixels, and every sample that shows them
    for i, sample in enumerate(result):
        at.setdefault(sample.pixels or sample.sha256, []).append(i)
    changed = {"added": 0, "corrected": 0, "confirmed": 0}
    for sample in arrived.samples:
        label = None if sample.label is None else labels[sample.label]
        votes = None if sample.votes is None or columns is None else [sample.votes[i] for i in columns]
        there = at.get(sample.pixels or sample.sha256)
        if there is None:
            moved = replace(sample, label=label, votes=votes, pack=f"{folder}/{sample.pack}")
            at[sample.pixels or sample.sha256] = [len(result)]
            result.append(moved)
            changed["added"] += 1
            places.append((sample.name, sample.name))
            continue
        for i in there if label is not None else ():
            changed["confirmed" if result[i].label == label else "corrected"] += 1
            result[i] = replace(result[i], label=label, votes=votes)
        places.append((sample.name, result[there[0]].name))
    notices = _votes_lost(old.description, arrived) if columns is None else []
    return Merged(result, {what: n for what, n in changed.items() if n}, places, notices)


def write_places(out: Path, places: Sequence[tuple[str, str]]) -> None:
    """Keep which sample each face became, for whoever tells where samples come from."""
    lines = (json.dumps({"name": name, "sample": sample}) + "\n" for name, sample in places)
    write_whole(out / PLACES, "".join(lines))


def _same_columns(old: Description, new: Description) -> list[int] | None:
    """Where the new votes have each of the old columns; None where the two were not asked the same."""
    if old.vote_columns is None or new.vote_columns is None:
        return None
    if sorted(old.vote_columns) != sorted(new.vote_columns):
        return None
    return [new.vote_columns.index(name) for name in old.vote_columns]


def _votes_lost(old: Description, arrived: FacePack) -> list[Notice]:
    count = sum(sample.votes is not None for sample in arrived.samples)
    if not count:
        return []
    own = f"has votes on {', '.join(old.vote_columns)}" if old.vote_columns else "has no votes"
    text = f"Of {count:,} faces with votes only the labels were taken: the data set {own}."
    return [Notice(text=text, level="warning")]


def _labels(old: Sequence[str], new: Sequence[str]) -> list[int]:
    strange = [name for name in new if name not in old]
    if strange:
        text = f"{', '.join(strange)}: not among the classes of the data set ({', '.join(old)})."
        raise JobError(f"{text} Map them first.", resumable=False)
    return [old.index(name) for name in new]
