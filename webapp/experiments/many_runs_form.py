"""What every form has that starts many runs in one experiment."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms

from mmfrm.config import TrainConfig
from mmfrm.presets import presets
from mmfrm.settings import replace
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.experiments import selectors
from webapp.experiments.forms import DEFAULT_PRESET, VersionField
from webapp.experiments.models import Experiment
from webapp.experiments.preset_cards import TITLES


class ManyRunsForm(forms.Form):
    """The data set, the preset that gives what does not vary, and the experiment that holds the runs."""

    request_key = forms.UUIDField(widget=forms.HiddenInput)
    name = forms.CharField(
        max_length=200, required=False, label="Experiment's name", help_text="What its runs are to answer."
    )
    version = VersionField(
        queryset=DatasetVersion.objects.none(),
        label="Data set",
        empty_label="Choose a data set",
        error_messages={"required": "Choose a data set."},
    )
    preset = forms.ChoiceField(
        choices=[(name, TITLES.get(name, (name, ""))[0]) for name in presets()],
        help_text="Gives every setting that is not varied below.",
    )
    epochs = forms.IntegerField(
        min_value=1, max_value=10_000, required=False, help_text="Empty: as many as the preset has."
    )
    experiment = forms.ModelChoiceField(
        queryset=Experiment.objects.none(), required=False, empty_label="A new experiment"
    )
    start_from = forms.ChoiceField(
        required=False, label="Start from", help_text="All begin with these weights."
    )
    private = forms.BooleanField(required=False, help_text="Only you and administrators see it.")

    def __init__(self, data: Any = None, *, user: User, initial: dict[str, Any] | None = None) -> None:
        super().__init__(
            data, initial={"preset": DEFAULT_PRESET, "request_key": uuid.uuid4()} | (initial or {})
        )
        self.user = user
        fields: dict[str, Any] = self.fields
        fields["version"].queryset = versions = selectors.ready_versions(user)
        if len(versions) == 1:
            self.initial.setdefault("version", versions[0].pk)
        fields["experiment"].queryset = selectors.own_experiments(user)
        fields["start_from"].choices = selectors.start_choices(user)
        for name in ("name", "epochs"):
            fields[name].widget.attrs["class"] = "form-control"
        for name in ("version", "preset", "experiment", "start_from"):
            fields[name].widget.attrs["class"] = "form-select"
        fields["private"].widget.attrs["class"] = "form-check-input"

    def common_config(self, data: dict[str, Any]) -> TrainConfig:
        """What all runs have in common."""
        config = presets()[data["preset"]]
        return replace(config, {"optim.epochs": data["epochs"]}) if data.get("epochs") else config


def sentence(problem: str) -> str:
    """A problem as a form says it."""
    return problem[:1].upper() + problem[1:] + ("" if problem.endswith(".") else ".")
