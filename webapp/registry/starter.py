"""The model that ships with the program, so that labelling works on the first day."""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from mmfrm.shipped import STARTER
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.registry import services
from webapp.registry.cards import LIMITS
from webapp.registry.models import Model

NAME = "Starter model"
WEAK_RECALL = 0.5  # an expression recognised less often than this is named as a weakness


@lru_cache(maxsize=2)
def _description(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def description() -> dict[str, Any]:
    """Its model.json, which names its weights by their SHA-256; empty where none ships."""
    return _description(STARTER)


def offered() -> dict[str, Any]:
    """What a page offers: the description, unless it is here already or does not ship.

    `is_newer` says that an earlier version's is here, which stays: batches and runs name it.
    """
    said = description()  # first: pages ask often, and without one there is nothing to ask the database
    if not said:
        return {}
    here = set(Model.objects.exclude(shipped="").values_list("shipped", flat=True))
    return {} if said["weights_sha256"] in here else {**said, "is_newer": bool(here)}


def adopt(user: User) -> Model:
    """Make it a model of this lab, once, however often it is asked. Deleted, it can be adopted again.

    A program that was updated may ship another one, which then comes beside the earlier.

    Raises RefusedError where none ships.
    """
    said = description()
    if not said:
        raise RefusedError("No starter model ships with this version. Train one: a quick look takes minutes.")
    part = services.copied(STARTER)
    try:
        return _take_over(user, said, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@transaction.atomic
def _take_over(user: User, said: dict[str, Any], part: Path) -> Model:
    # The unique constraint on `shipped` makes the second of two at once wait, and then find the first's.
    card = _card(said["card"], user)
    model, is_new = Model.objects.get_or_create(
        shipped=said["weights_sha256"],
        defaults={"owner": user, "name": _free_name(), "classes": said["classes"], "card": card},
    )
    if is_new:
        services.settle(model, part)
    return model


def _free_name() -> str:
    taken = Model.objects.exclude(shipped="").count()
    return f"{NAME} {taken + 1}" if taken else NAME


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
