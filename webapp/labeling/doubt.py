"""Which reviewed labels are likely wrong, by a model that did not learn from these faces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.core.cache import cache
from django.db.models import Count, Q

from webapp.datasets.models import DatasetVersion
from webapp.labeling import selectors
from webapp.labeling.models import LabelBatch, Verdict
from webapp.registry.doubt import suspects, taught, trained_on

PIECE = 500  # hashes in one query


def doubtful(batch: LabelBatch) -> list[int]:
    """Keys of faces whose label a person should look at again, the most doubtful first.

    Without those that were looked at again already, and without those that the model has learnt from.
    """
    said = Count("corrections", filter=Q(corrections__undoes=None, corrections__undone_by=None))
    rows = batch.predictions.filter(verdict=Verdict.LABEL, offset__isnull=False, probabilities__isnull=False)
    learnt = learnt_from(batch).faces
    rows = rows.annotate(said=said).order_by("index")
    faces = list(rows.values_list("pk", "index", "probabilities", "corrected", "said"))
    faces = [face for face in faces if face[1] not in learnt]
    again = {face[0] for face in faces if face[4] > 1}
    order = suspects([face[2] or [] for face in faces], [face[3] or 0 for face in faces])
    return [faces[at][0] for at in order if faces[at][0] not in again]


@dataclass(frozen=True)
class Learnt:
    """Which of a batch's faces its model has learnt from, as far as that can be known."""

    faces: frozenset[int]  # by index
    is_known: bool  # False: where the model comes from is not known here


def learnt_from(batch: LabelBatch) -> Learnt:
    """Compare a batch's faces with the training parts that led to its model, byte for byte.

    So faces count that went from a batch into a data set, and from there into training. Another file of
    the same picture is not recognised.
    """
    key = f"labeling-learnt-{batch.pk}-{batch.model_id}-{batch.job.state}"
    found: Learnt | None = cache.get(key)
    if found is None:
        versions, is_known = trained_on(batch.model)
        found = Learnt(frozenset(_shared(batch, versions)) if versions else frozenset(), is_known)
        cache.set(key, found, timeout=3600)
    return found


def _shared(batch: LabelBatch, versions: Sequence[DatasetVersion]) -> Iterator[int]:
    hashes: dict[str, list[int]] = {}
    for row in selectors.in_pieces(batch, batch.predictions.filter(offset__isnull=False)):
        data = selectors.pixels_of(batch, row)
        hashes.setdefault(hashlib.sha256(data).hexdigest(), []).append(row.index)
    wanted = list(hashes)
    samples = taught(versions)
    for start in range(0, len(wanted), PIECE):
        there = samples.filter(sha256__in=wanted[start : start + PIECE]).values_list("sha256", flat=True)
        for digest in set(there):
            yield from hashes[digest]
