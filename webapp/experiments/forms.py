"""What people say when they start or describe a run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms.boundfield import BoundField

from mmfrm.config import TrainConfig
from mmfrm.presets import presets
from mmfrm.schema import ConfigError
from mmfrm.settings import replace, settings_of
from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.experiments import selectors
from webapp.experiments.models import Experiment, Run
from webapp.experiments.setting_fields import FIRST, GROUPS, NOT_OFFERED, field_of

DEFAULT_PRESET = "small"


@dataclass(frozen=True)
class Group:
    """A group of settings, as the form shows it."""

    name: str
    title: str
    help: str
    fields: list[BoundField]
    rare: list[BoundField]

    @property
    def has_rare_errors(self) -> bool:
        return any(field.errors for field in self.rare)

    @property
    def has_errors(self) -> bool:
        return self.has_rare_errors or any(field.errors for field in self.fields)


class VersionField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A ready version of a data set."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} · {obj.images:,} images · {len(obj.classes)} classes"


class RunForm(forms.Form):
    """A training: the data set, a preset, and every setting of the trainer.

    `start` is the config whose values an unbound form shows (a clone's); otherwise the preset's.
    """

    request_key = forms.UUIDField(widget=forms.HiddenInput)
    preset = forms.ChoiceField(choices=[(name, name) for name in presets()], widget=forms.HiddenInput)
    version = VersionField(
        queryset=DatasetVersion.objects.none(),
        label="Data set",
        empty_label="Choose a data set",
        error_messages={
            "required": "Choose a data set.",
            "invalid_choice": "This data set is not ready, or no longer there. Choose another.",
        },
    )
    name = forms.CharField(
        max_length=200, required=False, help_text="Empty: named after the preset and the data set."
    )
    experiment = forms.ModelChoiceField(
        queryset=Experiment.objects.none(),
        required=False,
        empty_label="A new experiment",
        help_text="Runs that answer one question are compared on its page.",
    )
    start_from = forms.ChoiceField(
        required=False, label="Start from", help_text="Whose weights it begins with."
    )
    private = forms.BooleanField(required=False, help_text="Only you and administrators see it.")

    def __init__(
        self, data: Any = None, *, user: User, start: TrainConfig | None = None, initial: dict[str, Any]
    ) -> None:
        preset = (data or initial).get("preset")
        self.base = presets().get(preset or DEFAULT_PRESET, presets()[DEFAULT_PRESET])
        initial = {"preset": DEFAULT_PRESET, "request_key": uuid.uuid4()} | initial
        super().__init__(data, initial=initial | _values(start or self.base))
        self.user = user
        versions = selectors.ready_versions(user)
        self._choices_of("version").queryset = versions
        if len(versions) == 1:  # nothing to choose
            self.initial.setdefault("version", versions[0].pk)
        self._choices_of("experiment").queryset = selectors.own_experiments(user)
        self.fields["start_from"].choices = selectors.start_choices(user)  # type: ignore[attr-defined]
        for setting in settings_of(self.base):
            if setting.name not in NOT_OFFERED:
                self.fields[setting.name] = field_of(setting)

    def first(self) -> Iterator[BoundField]:
        """The settings that everybody decides on."""
        return (self[name] for name in FIRST)

    def groups(self) -> Iterator[Group]:
        """All other settings, by group; the rare ones apart."""
        offered = [s for s in settings_of(self.base) if s.name not in (*FIRST, *NOT_OFFERED)]
        for name, (title, help_text) in GROUPS.items():
            mine = [s for s in offered if s.group == name]
            yield Group(
                name=name,
                title=title,
                help=help_text,
                fields=[self[s.name] for s in mine if not s.rare],
                rare=[self[s.name] for s in mine if s.rare],
            )

    def clean(self) -> dict[str, Any]:
        """Make the config; what it refuses is said beside the setting."""
        data = super().clean() or {}
        if self.errors:
            return data
        try:
            data["config"] = replace(self.base, self._changes(data))
        except ConfigError as error:
            self.add_error(error.field if error.field in self.fields else None, _sentence(error.problem))
        if not data.get("name"):
            data["name"] = f"{data['preset']} on {data['version']}, seed {data['runtime.seed']}"[:200]
        data["start_from"] = selectors.start_of(self.user, data.get("start_from", ""))
        return data

    def _changes(self, data: dict[str, Any]) -> dict[str, Any]:
        """Settings that were sent. An empty field means the preset's value."""
        names = [s.name for s in settings_of(self.base) if s.name in self.fields]
        return {name: data[name] for name in names if data[name] not in (None, "")}

    def _choices_of(self, name: str) -> Any:
        return self.fields[name]


class RunEditForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs only
    """Name and privacy of a run."""

    class Meta:
        model = Run
        fields = ("name", "private")


class ExperimentForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs only
    """Name, question and privacy of an experiment."""

    class Meta:
        model = Experiment
        fields = ("name", "question", "private")
        help_texts = {  # noqa: RUF012 - Django reads it once
            "question": "What its runs are to answer.",
            "private": "Only you and administrators see it and its runs.",
        }
        widgets = {"question": forms.Textarea(attrs={"rows": 2})}  # noqa: RUF012


def clone_initial(run: Run) -> dict[str, Any]:
    """What the form of a clone begins with, its settings apart."""
    start = run.start_from
    return {
        "preset": run.preset,
        "version": run.version_id,
        "name": f"{run.name} (again)"[:200],
        "experiment": run.experiment_id,
        "start_from": f"{start['kind']}:{start['id']}" if start else "",
        "private": run.private,
    }


def _values(config: TrainConfig) -> dict[str, Any]:
    return {s.name: s.value for s in settings_of(config)}


def _sentence(problem: str) -> str:
    return problem[:1].upper() + problem[1:] + ("" if problem.endswith(".") else ".")
