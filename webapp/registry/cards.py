"""A model's card: what it learned from, how, how good it is, and what it must not be used for."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from mmfrm.config import difference, presets, settings_of
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.selectors import provenance_of

HEADLINES = (
    "count",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "mean_class_accuracy",
    "macro_f1",
    "calibration_error",
    "temperature",
    "calibration_error_tempered",
)

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
        "recipe": _recipe(run),
        "figures": {"val": _figures(run.best) | _epoch(run.best), "test": _figures(run.test)},
        "limits": [*([DRAWN_LIMIT] if version.dataset.is_drawn else []), *LIMITS],
    }


def _recipe(run: Run) -> dict[str, Any]:
    config = run.train_config
    preset = presets().get(run.preset)
    titles = {s.name: s.title for s in settings_of(config)}
    changed = difference(preset, config) if preset else {}
    return {
        "preset": run.preset,
        "size": config.network.size,
        "fusion": config.network.fusion,
        "epochs": run.epochs,
        "seed": config.runtime.seed,
        "parameters": run.facts.get("parameters"),
        "changes": [
            {"setting": titles[name], "preset": usual, "value": value}
            for name, (usual, value) in changes_of_note(changed).items()
        ],
    }


def changes_of_note(changed: dict[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """The seed differs from run to run and is named anyway."""
    return {name: pair for name, pair in changed.items() if name != "runtime.seed"}


def _figures(figures: dict[str, Any]) -> dict[str, Any]:
    if not figures:
        return {}
    return {name: figures.get(name) for name in HEADLINES} | {"classes": figures.get("classes", [])}


def _epoch(best: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": best["epoch"]} if best else {}
