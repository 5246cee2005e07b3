"""A model's card: what it learned from, how, how good it is, and what it must not be used for."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from mmfrm.card import figures_of, recipe_of
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.selectors import provenance_of

LIMITS = (
    "It labels expressions, not emotions: what a face shows, not what a person feels.",
    "It expects a single, roughly frontal face, cropped and aligned as in its training data.",
    "Its figures hold for faces like those of its test split. Other cameras, ages, poses and cultures "
    "were not measured.",
    "Its probabilities are as sure as its calibration error says, and no surer.",
    "Do not use it to decide about people: in hiring, policing, schooling, insurance or care.",
)
DRAWN_LIMIT = "It learned from drawn faces, not from photographs: it is for trying out, and for nothing else."


def card_of(run: Run, *, by: User) -> dict[str, Any]:
    """Everything that a reader of the model needs to know, kept even when the run is deleted."""
    version = run.version
    facts = provenance_of(run)
    return {
        "data": {
            "name": version.dataset.name,
            "version": version.number,
            "layout": version.layout,
            "images": version.images,
            "fingerprint": version.fingerprint,
            "is_drawn": version.dataset.is_drawn,
            "counts": facts.get("images", {}),
        },
        "provenance": {
            "run": run.name,
            "experiment": run.experiment.name,
            "trained_by": str(run.owner),
            "promoted_by": str(by),
            "promoted_at": timezone.now().isoformat(),
            "trained_at": run.created_at.isoformat(),
            "versions": facts.get("versions", {}),
            "device": facts.get("device_name", ""),
            "start_from": run.start_from.get("name", ""),
        },
        "recipe": recipe_of(
            run.train_config, run.preset, epochs=run.epochs, parameters=run.facts.get("parameters")
        ),
        "figures": {"val": figures_of(run.best) | _epoch(run.best), "test": figures_of(run.test)},
        "limits": [*([DRAWN_LIMIT] if version.dataset.is_drawn else []), *LIMITS],
    }


def _epoch(best: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": best["epoch"]} if best else {}
