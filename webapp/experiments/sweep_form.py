"""The form of many runs: an ablation, a grid, or both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.forms.boundfield import BoundField

from mmfrm.config import TrainConfig
from mmfrm.presets import presets
from mmfrm.schema import ConfigError
from mmfrm.settings import settings_of
from webapp.accounts.models import User
from webapp.experiments import selectors, sweeps
from webapp.experiments.forms import DEFAULT_PRESET
from webapp.experiments.many_runs_form import ManyRunsForm, sentence
from webapp.experiments.setting_fields import GROUPS

GRID_ROWS = 3
FIXED = ("network.fusion", "loss.rfloss", sweeps.SEED)  # have fields of their own


class SweepForm(ManyRunsForm):
    """Which settings take which values; everything else stays as the preset has it.

    Valid, `cleaned_data["planned"]` holds the runs.
    """

    seeds = forms.CharField(
        max_length=200,
        initial="0-2",
        help_text="0-2 or 0, 7, 13. Three or more let a difference be told from luck.",
    )

    def __init__(self, data: Any = None, *, user: User, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, user=user, initial=initial)
        self._add_axes()
        self.fields["seeds"].widget.attrs["class"] = "form-control"

    def ablation(self) -> Iterator[BoundField]:
        """The choices of fusion and RFLoss."""
        return (self[name] for name in FIXED[:2])

    def grid(self) -> Iterator[tuple[BoundField, BoundField]]:
        """Pairs of a setting and its values."""
        return ((self[f"axis_{row}"], self[f"values_{row}"]) for row in range(GRID_ROWS))

    def clean(self) -> dict[str, Any]:
        """Make the runs; what a combination is refused for is said beside the field that asked for it."""
        data = super().clean() or {}
        if self.errors:
            return data
        config = self.common_config(data)
        axes = self._axes(config, data)
        if not self.errors:
            try:
                data["planned"] = sweeps.plan(config, axes)
            except ConfigError as error:
                self.add_error(
                    None, sentence(f"{error.field}: {error.problem}" if error.field else error.problem)
                )
        data["start_from"] = selectors.start_of(self.user, data.get("start_from", ""))
        data["name"] = data.get("name") or f"{data['preset']} on {data['version']}: {_varied(axes)}"[:200]
        return data

    def _add_axes(self) -> None:
        config = presets()[DEFAULT_PRESET]
        settings = {s.name: s for s in settings_of(config)}
        for name in FIXED[:2]:
            self.fields[name] = forms.MultipleChoiceField(
                choices=[(c, c) for c in settings[name].choices],
                required=False,
                label=settings[name].title,
                help_text=settings[name].help,
                widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
            )
        choices: list[tuple[str, Any]] = [("", "No further setting")]
        for group, (title, _) in GROUPS.items():
            mine = [s for s in sweeps.offered(config) if s.group == group and s.name not in FIXED]
            choices.append((title, [(s.name, s.title) for s in mine]))
        for row in range(GRID_ROWS):
            self.fields[f"axis_{row}"] = forms.ChoiceField(
                choices=choices,
                required=False,
                label=f"Setting {row + 1}",
                widget=forms.Select(attrs={"class": "form-select"}),
            )
            self.fields[f"values_{row}"] = forms.CharField(
                max_length=500,
                required=False,
                label=f"Values of setting {row + 1}",
                widget=forms.TextInput(attrs={"class": "form-control", "placeholder": "1e-3, 3e-4"}),
            )

    def _axes(self, config: TrainConfig, data: dict[str, Any]) -> list[sweeps.Axis]:
        """Grid first and seeds last, so that repetitions of a cell are neighbours in the queue."""
        asked = [(f"values_{row}", data[f"axis_{row}"], data[f"values_{row}"]) for row in range(GRID_ROWS)]
        asked += [(name, name, " ".join(data[name])) for name in FIXED[:2]]
        asked.append(("seeds", sweeps.SEED, data["seeds"]))
        axes: dict[str, sweeps.Axis] = {}
        for field, name, text in asked:
            if not text and (not name or name in FIXED):
                continue
            if not name:
                self.add_error(field, "Choose the setting that takes these values.")
            elif name in axes:
                self.add_error(field, "This setting is already varied above.")
            else:
                try:
                    axes[name] = sweeps.axis_of(config, name, sweeps.split_values(text))
                except ConfigError as error:
                    self.add_error(field, sentence(error.problem))
        return list(axes.values())


def _varied(axes: list[sweeps.Axis]) -> str:
    titles = [axis.title for axis in axes if len(axis.values) > 1]
    return " × ".join(titles) or "one run"
