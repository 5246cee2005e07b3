"""What is wrong with a training, in words: seen in its epochs, said beside its charts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from webapp.experiments.models import Run
from webapp.jobs.models import JobEvent

NEAR_GUESSING = 0.02  # share of ln K: closer to it, a loss says that nothing was learned
SHUT_GATE = 0.02  # α below which logits hardly differ from zero
PATIENCE = 4  # epochs that the validation loss may rise before it is called overfitting
RISE = 0.03  # share of its lowest that it must have risen by
EARLY = 3  # epochs after which a class that is never answered is worth a word
SLOW = 0.5  # share of its usual rate
STARVING = 0.4  # share of an epoch's time that goes by waiting for images


@dataclass(frozen=True)
class Symptom:
    """One thing to know, and what to do about it."""

    title: str
    text: str
    is_grave: bool = False  # going on is of no use


@dataclass(frozen=True)
class Epoch:
    """The few figures of an epoch that symptoms are read off; None where they were no number."""

    train: float | None  # cross-entropy
    val: float | None
    images_per_second: float | None
    data_wait: float | None = None  # 0…1


def of_run(run: Run) -> list[Symptom]:
    """What is wrong with a run so far. Two queries, whatever its length."""
    rows = JobEvent.objects.filter(job=run.job_id, kind="epoch").order_by("key")
    last = rows.last()
    if last is None:
        return []
    columns = rows.annotate(
        train=F("payload__train__cross_entropy"),
        val=F("payload__val__cross_entropy"),
        rate=F("payload__images_per_second"),
        wait=F("payload__data_wait"),
    ).values_list("train", "val", "rate", "wait")
    return list(found([Epoch(*row) for row in columns], last.payload))


def found(epochs: Sequence[Epoch], last: dict[str, Any]) -> Iterator[Symptom]:
    """The symptoms of a training with those epochs, the last of which said `last` (an EpochEnd's payload)."""
    if epochs[-1].train is None or epochs[-1].val is None:
        yield Symptom(
            "The loss is no longer a number",
            "Stop it, and start again from its best weights with a lower learning rate or gradient clipping.",
            is_grave=True,
        )
        return
    collapse = _collapse(epochs, last)
    if collapse is not None:
        yield collapse
        return  # what follows from it needs no words of its own
    yield from _overfitting(epochs)
    yield from _never_answered(epochs, last)
    yield from _starving(epochs[-1])
    yield from _slow(epochs)


def _collapse(epochs: Sequence[Epoch], last: dict[str, Any]) -> Symptom | None:
    loss = epochs[-1].train or 0.0
    classes = len(last["train"].get("classes", ()))
    guessing = math.log(classes) if classes > 1 else 0.0
    alpha = last["train"].get("alpha_mean")
    is_shut = alpha is not None and alpha < SHUT_GATE
    # A slow warm-up costs no less than guessing either, but its gate stays open and it does not last.
    guesses = len(epochs) >= EARLY and abs(loss - guessing) <= NEAR_GUESSING * guessing
    if not classes or not (is_shut or guesses):
        return None
    gate = f", and α has fallen to {alpha:.3f}" if is_shut else ""
    return Symptom(
        "It has collapsed",
        f"Its loss is {loss:.2f}, what guessing among {classes} expressions costs ({guessing:.2f}){gate}. It "
        "will not recover: start again with a lower learning rate, more warm-up steps, or α started at 2.",
        is_grave=True,
    )


def _overfitting(epochs: Sequence[Epoch]) -> Iterator[Symptom]:
    losses = [math.inf if e.val is None else e.val for e in epochs]
    lowest = min(range(len(losses)), key=losses.__getitem__)
    since = len(losses) - 1 - lowest
    has_risen = losses[-1] > losses[lowest] * (1 + RISE)
    falls = (epochs[-1].train or 0.0) < (epochs[lowest].train or 0.0)
    if since >= PATIENCE and has_risen and falls:
        yield Symptom(
            "It is learning the training faces by heart",
            f"The validation loss was lowest after epoch {lowest + 1} ({losses[lowest]:.3f}) and is now "
            f"{losses[-1]:.3f}, while the training loss still falls. The best epoch is kept; more "
            "augmentation, label smoothing or fewer epochs would help the next run.",
        )


def _never_answered(epochs: Sequence[Epoch], last: dict[str, Any]) -> Iterator[Symptom]:
    if len(epochs) < EARLY:
        return
    confusion = last["val"].get("confusion") or []
    names = [
        c["name"]
        for k, c in enumerate(last["val"].get("classes", ()))
        if c["count"] and confusion and not any(row[k] for row in confusion)
    ]
    if names:
        yield Symptom(
            f"It never answers {_and(names)}",
            "No validation face got that answer in the last epoch. Balanced or square-root sampling, or "
            "class weights, make rare expressions count for more.",
        )


def _starving(last: Epoch) -> Iterator[Symptom]:
    if last.data_wait is not None and last.data_wait >= STARVING:
        yield Symptom(
            "It waits for its images",
            f"{100 * last.data_wait:.0f} % of the last epoch's time went by reading faces, not learning from "
            "them. The disk or the memory of this machine holds it up: put the data folder on a faster disk, "
            "or let less else run beside it.",
        )


def _slow(epochs: Sequence[Epoch]) -> Iterator[Symptom]:
    rates = [e.images_per_second for e in epochs if e.images_per_second]
    if len(rates) < EARLY:
        return
    usual = sorted(rates)[len(rates) // 2]
    if rates[-1] < SLOW * usual:
        yield Symptom(
            "It has become slow",
            f"{rates[-1]:.0f} images a second in the last epoch, {usual:.0f} before. Something else may be "
            "using this machine, or its disk: see the queue.",
        )


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
