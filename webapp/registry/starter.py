"""The models that ship with the program, so that labelling works on the first day."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from mmfrm.shipped import QUICK, STARTER
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.registry import services
from webapp.registry.cards import LIMITS
from webapp.registry.models import Model

WEAK_RECALL = 0.5  # an expression recognised less often than this is named as a weakness


@dataclass(frozen=True)
class Kind:
    """One of the models that ship."""

    key: str  # Model.shipped_as
    name: str
    folder: Path

    @property
    def description(self) -> dict[str, Any]:
        """Its model.json, which names its weights by their SHA-256; empty where it does not ship."""
        return _description(self.folder)


@dataclass(frozen=True)
class Offer:
    """A model that ships and is not here yet."""

    kind: Kind
    is_newer: bool  # an earlier one of its kind is here, and stays: batches and runs name it

    @property
    def card(self) -> dict[str, Any]:
        """Its figures and where they come from."""
        card: dict[str, Any] = self.kind.description["card"]
        return card


@lru_cache(maxsize=4)
def _description(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def kinds() -> list[Kind]:
    """Those that ship, the most accurate first."""
    known = (Kind("starter", "Starter model", STARTER), Kind("quick", "Quick model", QUICK))
    return [kind for kind in known if kind.description]


def offered() -> list[Offer]:
    """What a page offers: those that ship and are not here."""
    shipping = kinds()
    if not shipping:  # pages ask often, and without one there is nothing to ask the database
        return []
    here = list(Model.objects.exclude(shipped="").values_list("shipped", "shipped_as"))
    return [
        Offer(kind, is_newer=any(key == kind.key for _, key in here))
        for kind in shipping
        if all(weights != kind.description["weights_sha256"] for weights, _ in here)
    ]


def adopt(user: User) -> Model:
    """Make those that ship models of this lab, once, however often it is asked; returns the most accurate.

    Deleted, one can be adopted again. A program that was updated may ship another, which then comes beside
    the earlier. Raises RefusedError where none ships.
    """
    adopted = [_adopted(kind, user) for kind in reversed(kinds())]  # the newest is the first to choose
    if not adopted:
        raise RefusedError("No starter model ships with this version. Train one: a quick look takes minutes.")
    return adopted[-1]


def _adopted(kind: Kind, user: User) -> Model:
    if here := Model.objects.filter(shipped=kind.description["weights_sha256"]).first():
        return here
    part = services.copied(kind.folder)
    try:
        return _take_over(user, kind, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@transaction.atomic
def _take_over(user: User, kind: Kind, part: Path) -> Model:
    # The unique constraint on `shipped` makes the second of two at once wait, and then find the first's.
    said = kind.description
    fresh = {"owner": user, "name": _free_name(kind), "classes": said["classes"], "shipped_as": kind.key}
    model, is_new = Model.objects.get_or_create(
        shipped=said["weights_sha256"], defaults={**fresh, "card": _card(said["card"], user)}
    )
    if is_new:
        services.settle(model, part)
    return model


def _free_name(kind: Kind) -> str:
    taken = Model.objects.filter(shipped_as=kind.key).count()
    return f"{kind.name} {taken + 1}" if taken else kind.name


def _card(card: dict[str, Any], user: User) -> dict[str, Any]:
    """In the form of other models' cards."""
    return {
        **card,
        "data": {**card["data"], "is_drawn": False},
        "provenance": {
            "trained_by": "the makers of this program",
            "promoted_by": str(user),
            "promoted_at": timezone.now().isoformat(),
            "versions": card["versions"],
            "start_from": card.get("start_from", ""),
        },
        "limits": [*weaknesses(card["figures"]["test"]), *LIMITS],
    }


def weaknesses(test: dict[str, Any]) -> list[str]:
    """What it is not good at, from its own figures."""
    weak = [c for c in test.get("classes", []) if c["count"] and c["recall"] < WEAK_RECALL]
    named = ", ".join(f"{c['name']} ({c['recall']:.0%} of {c['count']} test faces)" for c in weak)
    said = [f"It misses most faces that show {named}."] if weak else []
    return [
        *said,
        "It learned from small grey photos of the web of 2013: mostly adults, mostly posed or famous.",
    ]
