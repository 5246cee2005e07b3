"""The form of a search: what may vary, what is compared, and how much it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
from webapp.experiments.setting_fields import GROUPS, shown
from webapp.searches import space
from webapp.searches.models import Search
from webapp.searches.services import MOST_TRIALS

SPACE_ROWS = 6
SUGGESTED: tuple[dict[str, Any], ...] = (
    {"setting": "optim.learning_rate", "low": 1e-4, "high": 1e-2, "log": True},
    {"setting": "optim.weight_decay", "low": 1e-3, "high": 0.3, "log": True},
)


@dataclass(frozen=True)
class SpaceRow:
    """One setting that varies, as the form shows it."""

    number: int  # from 1
    setting: BoundField
    low: BoundField
    high: BoundField
    log: BoundField
    words: BoundField

    @property
    def errors(self) -> list[str]:
        fields = (self.setting, self.low, self.high, self.log, self.words)
        return [str(text) for field in fields for text in field.errors]


class SearchForm(ManyRunsForm):
    """Settings with ranges or values. Valid, `cleaned_data` has `space` and `config`."""

    objective = forms.ChoiceField(
        choices=Search.Objective.choices,
        label="Compared by",
        help_text="The validation figure of each trial's best epoch. The test split stays closed.",
    )
    trials = forms.IntegerField(
        min_value=1, max_value=MOST_TRIALS, initial=20, help_text="So many runs, whatever becomes of them."
    )
    parallel = forms.IntegerField(
        min_value=1,
        max_value=16,
        initial=1,
        label="At once",
        help_text="One after the other learns most from each; more only help where there are more workers.",
    )
    hours = forms.FloatField(
        min_value=0.1,
        max_value=24 * 90,
        required=False,
        help_text="After these no trial begins. Empty: as long as it takes.",
    )
    pruner = forms.ChoiceField(choices=Search.Pruner.choices, label="Hopeless trials")
    grace_epochs = forms.IntegerField(
        min_value=1,
        max_value=1000,
        initial=2,
        label="Epochs of grace",
        help_text="Before a trial may be stopped.",
    )
    chooser = forms.ChoiceField(choices=Search.Chooser.choices, label="How settings are chosen")
    seed = forms.IntegerField(
        min_value=0, max_value=2**31 - 1, initial=0, label="Seed of the choosing",
        help_text="All trials train with the preset's own seed, so that they differ in their settings only.",
    )  # fmt: skip

    def __init__(self, data: Any = None, *, user: User, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, user=user, initial=initial)
        self._add_space()
        for name in ("trials", "parallel", "hours", "grace_epochs", "seed"):
            self.fields[name].widget.attrs["class"] = "form-control"
        self.fields["hours"].widget.attrs["step"] = "any"
        for name in ("objective", "pruner", "chooser"):
            self.fields[name].widget.attrs["class"] = "form-select"

    def rows(self) -> Iterator[SpaceRow]:
        """What varies, setting by setting."""
        for row in range(SPACE_ROWS):
            parts = (self[f"{part}_{row}"] for part in ("setting", "low", "high", "log", "words"))
            yield SpaceRow(row + 1, *parts)

    def clean(self) -> dict[str, Any]:
        """Make the space; what is wrong with a row is said beside it."""
        data = super().clean() or {}
        if self.errors:
            return data
        data["config"] = self.common_config(data)
        data["space"] = self._space(data["config"], data)
        if not self.errors and not data["space"]:
            self.add_error("setting_0", "Choose at least one setting to vary.")
        data["start_from"] = selectors.start_of(self.user, data.get("start_from", ""))
        titles = ", ".join(dimension.title for dimension in data["space"])
        data["name"] = data.get("name") or f"Search over {titles} on {data['version']}"[:200]
        return data

    def _add_space(self) -> None:
        settings = space.offered(presets()[DEFAULT_PRESET])
        choices: list[tuple[str, Any]] = [("", "No further setting")]
        for group, (title, _) in GROUPS.items():
            mine = [(s.name, s.title) for s in settings if s.group == group]
            choices += [(title, mine)] if mine else []
        for row in range(SPACE_ROWS):
            number = row + 1
            self.fields |= {
                f"setting_{row}": forms.ChoiceField(
                    choices=choices,
                    required=False,
                    label=f"Setting {number}",
                    widget=forms.Select(_look("form-select")),
                ),
                f"low_{row}": _number(f"Setting {number}, from"),
                f"high_{row}": _number(f"Setting {number}, to"),
                f"log_{row}": forms.BooleanField(
                    required=False, label="Logarithmic", widget=forms.CheckboxInput(_look("form-check-input"))
                ),
                f"words_{row}": forms.CharField(
                    max_length=500,
                    required=False,
                    label=f"Setting {number}, values",
                    widget=forms.TextInput(_look("form-control", placeholder="32, 64, 128")),
                ),
            }
        if not self.is_bound:
            for row, values in enumerate(SUGGESTED):
                for part, value in values.items():
                    self.initial.setdefault(f"{part}_{row}", value)

    def _space(self, config: TrainConfig, data: dict[str, Any]) -> list[space.Dimension]:
        found: dict[str, space.Dimension] = {}
        for row in range(SPACE_ROWS):
            name, low, high = (data[f"{part}_{row}"] for part in ("setting", "low", "high"))
            words = data[f"words_{row}"]
            if not name:
                if words or low is not None or high is not None:
                    self.add_error(f"setting_{row}", "Choose the setting that varies so.")
                continue
            if name in found:
                self.add_error(f"setting_{row}", "This setting already varies above.")
                continue
            try:
                found[name] = space.dimension_of(
                    config,
                    name,
                    low=low,
                    high=high,
                    log=data[f"log_{row}"],
                    words=sweeps.split_values(words),
                )
            except ConfigError as error:
                self.add_error(f"setting_{row}", sentence(error.problem))
        return list(found.values())


def explained() -> dict[str, dict[str, Any]]:
    """What the browser needs to show the right fields for a setting."""
    return {
        s.name: {
            "help": s.help,
            "choices": ["yes", "no"] if s.type is bool else list(s.choices),
            "range": "" if s.low is None or s.high is None else f"{shown(s.low)} to {shown(s.high)}",
        }
        for s in space.offered(presets()[DEFAULT_PRESET])
    }


def preset_values() -> dict[str, dict[str, str]]:
    """What each preset has for each setting that may vary."""
    return {name: {s.name: shown(s.value) for s in settings_of(config)} for name, config in presets().items()}


def _look(css: str, **more: str) -> dict[str, str]:
    return {"class": css, **more}


def _number(label: str) -> forms.FloatField:
    return forms.FloatField(
        required=False, label=label, widget=forms.NumberInput(_look("form-control", step="any"))
    )
