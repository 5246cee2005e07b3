"""Which labels are likely wrong, by a model that did not learn from the faces that bear them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Exists, OuterRef, QuerySet

from mmfrm.classes import mapping_indices
from webapp.datasets.models import DatasetVersion, Sample
from webapp.experiments.models import Run
from webapp.registry.models import Model, Score, Scoring

PIECE = 2000  # rows written at once


def suspects(probabilities: Sequence[Sequence[float]], labels: Sequence[int]) -> list[int]:
    """Positions of labels that are likely wrong, the most doubtful first.

    Confident learning (Northcutt, Jiang & Chuang, J. Artif. Intell. Res. 70, 2021): a class is confident of
    a face where its probability reaches the mean that it has over the faces that bear its label. A label is
    suspect where another class is the likeliest confident one; the more, the further that class and the
    label's own lie apart, both measured against those means. Probabilities must come from a model that has
    not learnt from these labels.
    """
    leads = _leads(list(zip(probabilities, labels, strict=True)))
    suspect = ((lead, -at) for at, lead in enumerate(leads) if lead is not None)
    return [-at for _, at in sorted(suspect, reverse=True)]


def _leads(said: Sequence[tuple[Sequence[float], int]]) -> list[float | None]:
    """How doubtful each label is, of probabilities and labels; None: it is not suspect."""
    means = _means(said)
    return [_lead(p, label, means) for p, label in said]


def _means(said: Iterable[tuple[Sequence[float], int]]) -> list[float]:
    """Of each class: its mean probability over the faces that bear its label; 1 where none does."""
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    classes = 0
    for p, label in said:
        classes = len(p)
        sums[label] = sums.get(label, 0.0) + p[label]
        counts[label] = counts.get(label, 0) + 1
    return [sums[k] / counts[k] if k in counts else 1.0 for k in range(classes)]


def _lead(p: Sequence[float], label: int, means: Sequence[float]) -> float | None:
    """How far the likeliest confident class lies above the label's own; None: the label is not suspect."""
    confident = [k for k in range(len(p)) if p[k] >= means[k]]
    likeliest = max(confident, key=p.__getitem__, default=label)
    return None if likeliest == label else (p[likeliest] - means[likeliest]) - (p[label] - means[label])


def trained_on(model: Model) -> tuple[list[DatasetVersion], bool]:
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
    return [*versions, *_by_card(model)], False


def _by_card(model: Model) -> list[DatasetVersion]:
    """Versions that are what the card says, of a model whose run is not here: it shipped, or was deleted."""
    found = (model.card.get("data") or {}).get("fingerprint", "")
    return list(DatasetVersion.objects.filter(fingerprint=found)) if found else []


def taught(versions: Sequence[DatasetVersion]) -> QuerySet[Sample]:
    """Faces that a training on these versions learns from. A part of them may have been left out of it."""
    return Sample.objects.filter(version__in=versions).exclude(split="test").exclude(split="val")


def judge(scoring: Scoring) -> None:
    """Say of each score how doubtful it makes the label, and on the scoring how many it could judge.

    Faces that the model has learnt from, pixel by pixel, are left out: it would excuse their labels.
    """
    versions, is_known = trained_on(scoring.model)
    scores = scoring.scores.filter(loss__isnull=False)  # those with a label that the model knows
    if versions:
        same = taught(versions).filter(pixels=OuterRef("sample__pixels")).exclude(pixels="")
        scores = scores.filter(~Exists(same))
    theirs = mapping_indices(scoring.version.classes, scoring.model.classes)
    said = []
    for pk, own, p in scores.values_list("pk", "sample__label", "probabilities").iterator(PIECE):
        if own is not None and (label := theirs[own]) is not None:
            said.append((pk, p, label))
    leads = _leads([(p, label) for _, p, label in said])
    doubtful = [
        Score(pk=pk, doubt=lead) for (pk, _, _), lead in zip(said, leads, strict=True) if lead is not None
    ]
    Score.objects.bulk_update(doubtful, ["doubt"], batch_size=PIECE // 4)
    scoring.judged = {"faces": len(said), "doubtful": len(doubtful), "is_known": is_known}
    scoring.save(update_fields=["judged"])
