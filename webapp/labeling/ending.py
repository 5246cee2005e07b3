"""What there is to say of a batch that gives nobody work: why it ended so, and what helps."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.jobs.models import Job
from webapp.labeling.models import LabelBatch

RESUMED = "Resume it to go on from there."
ANEW = "Label the photos anew: going on would meet the same."


@dataclass(frozen=True)
class Ending:
    """Why a batch ended early or without a face, and the remedy."""

    text: str
    remedy: str
    is_failure: bool
    may_be_resumed: bool


def ending(batch: LabelBatch, *, labelled: int, errors: int) -> Ending | None:
    """None where there is nothing to explain. `labelled` faces and `errors` rows without one are there."""
    job, rows = batch.job, labelled + errors
    if job.state == Job.State.FAILED:
        is_hopeless = not rows and not _says_resumable(job)
        reason = job.reason or "It failed without a word of why; its log may tell more."
        kept = f"What is labelled so far, {rows:,} rows, is kept. {RESUMED}" if rows else "Then resume it."
        return Ending(reason, ANEW if is_hopeless else kept, is_failure=True, may_be_resumed=not is_hopeless)
    if job.state == Job.State.STOPPED:
        after = f"after {rows:,} rows" if rows else "before a face was labelled"
        return Ending(f"It was stopped {after}.", RESUMED, is_failure=False, may_be_resumed=True)
    if job.state == Job.State.FINISHED and errors and not labelled:
        return _without_faces(batch, errors)
    return None


def _says_resumable(job: Job) -> bool:
    """What the last failure said of itself; a job that died without a word may be tried again."""
    last = job.events.filter(kind="failed").order_by("-seq").values_list("payload", flat=True).first()
    return last is None or bool(last.get("resumable", True))


def _without_faces(batch: LabelBatch, errors: int) -> Ending:
    is_unreadable = batch.predictions.exclude(faces=0).exists()  # faces: 0 where one was looked for in vain
    if is_unreadable:
        text = "The file gave no face; it says why below."
        if errors > 1:
            text = f"None of the {errors:,} files gave a face; each says why below."
        remedy = "Label pictures (JPEG, PNG, WebP, BMP, GIF or TIFF), or a whole zip of them."
    else:
        text = "No face was found in the photo."
        if errors > 1:
            text = f"No face was found in any of the {errors:,} photos."
        remedy = "Label them again with a smaller smallest face; as already aligned, if they are face crops."
    return Ending(text, remedy, is_failure=False, may_be_resumed=False)
