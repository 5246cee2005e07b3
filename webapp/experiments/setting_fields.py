"""Form fields made from the settings' own descriptions, so that a setting is described exactly once."""

from __future__ import annotations

import math
from typing import Any

from django import forms

from mmfrm.settings import Setting

GROUPS = {
    "data": ("Data", "Which faces it learns from, and how they are labelled and split."),
    "network": ("Network", "MMFRM as published, and what an ablation changes."),
    "loss": ("Loss", "Cross-entropy and RFLoss."),
    "optim": ("Optimisation", "How the weights move, and for how long."),
    "augment": ("Augmentation", "Random changes of the training images."),
    "runtime": ("Machine", "Does not change what is learned, beyond rounding."),
}
FIRST = ("optim.epochs", "runtime.seed")  # shown beside the data set, above the groups
# Paths on the server are not for a browser to name: they would tell what files exist.
NOT_OFFERED = ("network.landmark_weights",)


def field_of(setting: Setting) -> forms.Field:
    """The form field of one setting, in the look of the house."""
    field = _plain_field(setting)
    kinds: dict[type[forms.Widget], str] = {
        forms.CheckboxInput: "form-check-input",
        forms.Select: "form-select",
    }
    field.widget.attrs["class"] = kinds.get(type(field.widget), "form-control")
    return field


def _plain_field(setting: Setting) -> forms.Field:
    common: dict[str, Any] = {"label": setting.title, "help_text": help_of(setting), "required": False}
    if setting.type is bool:
        return forms.BooleanField(**common)
    if setting.choices:
        return forms.ChoiceField(choices=[(c, c) for c in setting.choices], **common)
    if setting.type is int:
        return forms.IntegerField(
            min_value=_whole(setting.low),
            max_value=_whole(setting.high),
            error_messages=_messages(setting),
            **common,
        )
    if setting.type is float:
        field = forms.FloatField(
            min_value=setting.low, max_value=setting.high, error_messages=_messages(setting), **common
        )
        field.widget.attrs["step"] = "any"
        return field
    return forms.CharField(max_length=500, **common)


def help_of(setting: Setting) -> str:
    """Its meaning and, for numbers, its range."""
    if setting.type is bool or setting.choices or setting.low is None:
        return setting.help
    return f"{setting.help} {range_of(setting)}.".strip()


def range_of(setting: Setting) -> str:
    """Its range, for people: "0.01 to 0.5"."""
    low = shown(setting.low)
    return f"{low} or more" if setting.high is None else f"{low} to {shown(setting.high)}"


def shown(value: Any) -> str:
    """A setting's value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1 else f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value) if value not in (None, "") else "none"


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def _messages(setting: Setting) -> dict[str, str]:
    kind = "a whole number" if setting.type is int else "a number"
    return {
        "invalid": f"{setting.title} must be {kind}.",
        "min_value": f"{setting.title} must be {range_of(setting)}.",
        "max_value": f"{setting.title} must be {range_of(setting)}.",
    }
