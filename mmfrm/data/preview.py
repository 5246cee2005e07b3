"""What an import would make of a source: how it is read, and what comes of a dozen of its pictures."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfrm.control import Control
from mmfrm.data.archive import UnreadableError
from mmfrm.data.choosing import chosen
from mmfrm.data.finding import choose, finder_of, one_thread
from mmfrm.data.ingest import open_source, recognise
from mmfrm.data.layout import LeftOutError, Loaded, Plan
from mmfrm.data.native import write_whole
from mmfrm.events import Event, Finished, Started, Stopped
from mmfrm.failures import JobError
from mmfrm.images import Pixels, decode, encoded, fitting
from mmfrm.jobs import PreviewJob
from mmfrm.progress import Meter

if TYPE_CHECKING:
    from mmfrm.faces.find import FaceFinder

LARGEST = 640  # pixels of the longer side of a photo to look at
CROPS_SHOWN = 8  # of one photo, the largest
ODD_SHOWN = 5  # files that are no pictures


def preview(folder: Path, job: PreviewJob, control: Control) -> Iterator[Event]:
    """Look at some pictures from all over the source; nothing is imported.

    Writes preview.json and pictures/N.jpg. Raises JobError where the source cannot be read.
    """
    source = Path(job.source)
    if not source.exists():
        raise JobError(f"{source} is not there. Put it back, or name another source.")
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    (folder / "pictures").mkdir(parents=True)
    archive, only = open_source(source, job)
    try:
        yield Started(resumed=False, facts={"files": len(archive.entries)})
        found = recognise(archive, job.layout, only, job.group_by)
        plan = chosen(found, job)
        odd = [{"name": r.name, "reason": r.reason} for r in [*archive.refusals, *plan.refusals]]
        looks: list[dict[str, Any]] = []
        viewer = _Viewer(folder / "pictures", job, plan)
        meter = Meter(min(job.pictures, plan.total), phase="looking")
        for loaded in spread(plan, job.pictures):
            looks.append(viewer.look(loaded))
            meter.add(1)
            if meter.is_due():
                yield meter.say()
            if control.stop_requested():
                yield Stopped(reason=control.reason)
                return
        yield meter.say()
    finally:
        archive.close()
    said = _said(found, job, looks) | {"odd": len(odd), "odd_examples": odd[:ODD_SHOWN], "pictures": looks}
    write_whole(folder / "preview.json", json.dumps(said, indent=2))
    yield Finished(result=said)


def spread(plan: Plan, count: int) -> Iterator[Loaded]:
    """Pictures from all over a source, in its order."""
    wanted = sorted({i * plan.total // count for i in range(count)} if plan.total else ())
    if plan.encode is not None:  # rows of a table: to reach the last, all are passed
        last = wanted[-1] + 1 if wanted else 0
        at = set(wanted)
        yield from (loaded for i, loaded in enumerate(islice(plan.stream(0), last)) if i in at)
        return
    for i in wanted:
        yield from islice(plan.stream(i), 1)


def _said(plan: Plan, job: PreviewJob, looks: list[dict[str, Any]]) -> dict[str, Any]:
    """What was recognised, before any choice of people: classes, tally and columns are the source's own."""
    return {
        "layout": plan.layout,
        "layout_reason": plan.reason,
        "classes": plan.classes,
        "vote_columns": plan.vote_columns,
        "total": plan.total,
        "tally": asdict(plan.tally),
        "groups": None if plan.groups is None else asdict(plan.groups),
        "faces": job.faces,
        "min_face": job.min_face,
        "several": job.several,
        "outcomes": dict(Counter(look["outcome"] for look in looks)),
    }


class _Viewer:
    """Looks at pictures one by one, keeping what is to be shown of each under a number."""

    def __init__(self, folder: Path, job: PreviewJob, plan: Plan) -> None:
        self._folder, self._job, self._plan = folder, job, plan
        self._finder: FaceFinder | None = finder_of(job)
        if self._finder is not None:
            one_thread()  # as the import does: the networks are small, and threads would wait for each other
        self._kept = 0

    def look(self, loaded: Loaded) -> dict[str, Any]:
        """outcome: taken, several, none, left_out, unreadable. photo, faces: to be shown, boxes in pixels."""
        item, data = loaded
        label = None if item.label is None else self._plan.classes[item.label]
        told: dict[str, Any] = {"name": item.name, "split": item.split, "label": label, "votes": item.votes}
        told |= {"outcome": "taken", "reason": "", "taken": False, "photo": None, "faces": [], "found": 0}
        try:
            if isinstance(data, UnreadableError):
                raise data
            encode = self._plan.encode
            pixels = decode(data if encode is None else encode(data), max_pixels=self._job.max_pixels)
        except LeftOutError as error:
            return told | {"outcome": "left_out", "reason": str(error)}
        except ValueError as error:
            return told | {"outcome": "unreadable", "reason": str(error)}
        told["photo"] = self._keep(fitting(pixels, LARGEST)) | _size(pixels)
        return told | ({"taken": True} if self._finder is None else self._found(pixels, self._finder))

    def _found(self, photo: Pixels, finder: FaceFinder) -> dict[str, Any]:
        faces = finder.find(photo)
        choice = choose(faces, self._job)
        shown = [
            self._keep(face.crop)
            | {"box": list(face.box), "confidence": face.confidence, "taken": face is choice.taken}
            for face in faces[:CROPS_SHOWN]
        ]
        outcome = "none" if not faces else "taken" if len(faces) == 1 else "several"
        return {
            "outcome": outcome,
            "reason": choice.reason,
            "taken": choice.taken is not None,
            "found": len(faces),
            "faces": shown,
        }

    def _keep(self, pixels: Pixels) -> dict[str, int]:
        number, self._kept = self._kept, self._kept + 1
        (self._folder / f"{number}.jpg").write_bytes(encoded(pixels))
        return {"picture": number}


def _size(pixels: Pixels) -> dict[str, int]:
    return {"width": pixels.shape[1], "height": pixels.shape[0]}
