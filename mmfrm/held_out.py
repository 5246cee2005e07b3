"""Faces that a model has not learnt from, where its data set does not say so: its training held them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmfrm.data import Faces
from mmfrm.events import Notice

CARVING = ("val_fraction", "split_seed")  # settings of DataConfig that draw the splits that are missing


def carving_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """How the model's training drew the splits that its data set lacks; empty where the card does not say."""
    training = card.get("training")
    data = training.get("data") if isinstance(training, Mapping) else None
    return {name: data[name] for name in CARVING if name in data} if isinstance(data, Mapping) else {}


def doubts(faces: Faces, names: Sequence[str], cards: Sequence[Mapping[str, Any]]) -> Iterator[Notice]:
    """A warning where a model may have learnt from the splits `names`, drawn as the last card says."""
    drawn = [name for name in names if name in faces.report["carved"]]
    if not drawn:
        return
    known = [card for card in cards if card.get("data_fingerprint") == faces.fingerprint]
    listed = " and ".join(drawn)
    if any(carving_of(card) != carving_of(cards[-1]) for card in known):
        text = (
            f"The data set has no {listed} of its own, and a model's training drew another: it knows some of "
            "these faces."
        )
        yield Notice(text=text, level="warning")
    elif len(known) < len(cards):
        text = (
            f"The data set has no {listed} of its own: one was drawn. A model that learned from these faces "
            "as part of another data set may know some of them."
        )
        yield Notice(text=text, level="warning")
