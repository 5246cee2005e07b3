"""Which reviewed labels are likely wrong, by a model that did not learn from these faces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.core.cache import cache
from django.db.models import Count, Q

from webapp.datasets.models import DatasetVersion, Sample
from webapp.experiments.models import Run
from webapp.labeling import selectors
from webapp.labeling.models import LabelBatch, Verdict
from webapp.registry.models import Model

PIECE = 500  # hashes in one query


def suspects(probabilities: Sequence[Sequence[float]], labels: Sequence[int]) -> list[int]:
    """Positions of labels that are likely wrong, the most doubtful first.

    Confident learning (Northcutt, Jiang & Chuang, J. Artif. Intell. Res. 70, 2021): a class is confident of
    a face where its probability reaches the mean that it has over the faces that bear its label. A label is
    suspect where another class is the likeliest confident one; the more, the further that class and the
    label's own lie apart, both measured against those means. Probabilities must come from a model that has
    not learnt from these labels.
    """
    if not labels:
        return []
    classes = range(len(probabilities[0]))
    sums, counts = [0.0 for _ in classes], [0 for _ in classes]
    for p, label in zip(probabilities, labels, strict=True):
        sums[label] += p[label]
        counts[label] += 1
    means = [total / n if n else 1.0 for total, n in zip(sums, counts, strict=True)]
    found = []
    for at, (p, label) in enumerate(zip(probabilities, labels, strict=True)):
        likeliest = max((k for k in classes if p[k] >= means[k]), key=p.__getitem__, default=label)
        if likeliest != label:
            lead = (p[likeliest] - means[likeliest]) - (p[label] - means[label])
            found.append((lead, -at))
    return [-at for _, at in sorted(found, reverse=True)]


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
        versions, is_known = _training(batch.model)
        found = Learnt(frozenset(_shared(batch, versions)) if versions else frozenset(), is_known)
        cache.set(key, found, timeout=3600)
    return found


def _training(model: Model) -> tuple[list[DatasetVersion], bool]:
    """The versions that a model and those it started from were trained on; and whether that is all."""
    versions: list[DatasetVersion] = []
    run, seen = model.run, set()
    while run is not None and run.pk not in seen:
        seen.add(run.pk)
        versions.append(run.version)
        start = run.start_from or {}
        if not start:
            return versions, True
        key = int(start.get("id", 0))
        if start.get("kind") == "model":
            earlier = Model.objects.filter(pk=key).select_related("run__version").first()
            run = None if earlier is None else earlier.run
        else:
            run = Run.objects.filter(pk=key).select_related("version").first()
    return versions, False


def _shared(batch: LabelBatch, versions: Sequence[DatasetVersion]) -> Iterator[int]:
    hashes: dict[str, list[int]] = {}
    for row in selectors.in_pieces(batch, batch.predictions.filter(offset__isnull=False)):
        data = selectors.pixels_of(batch, row)
        hashes.setdefault(hashlib.sha256(data).hexdigest(), []).append(row.index)
    wanted = list(hashes)
    samples = Sample.objects.filter(version__in=versions).exclude(split="test").exclude(split="val")
    for start in range(0, len(wanted), PIECE):
        there = samples.filter(sha256__in=wanted[start : start + PIECE]).values_list("sha256", flat=True)
        for digest in set(there):
            yield from hashes[digest]
