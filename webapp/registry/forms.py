"""What people say of a model."""

from __future__ import annotations

from typing import Any

from django import forms

from webapp.accounts.models import User
from webapp.datasets.models import DatasetVersion
from webapp.experiments.selectors import ready_versions
from webapp.registry.models import Model


class ModelForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs only
    """Name and privacy."""

    class Meta:
        model = Model
        fields = ("name", "private")


class ExportForm(forms.Form):
    """On whose test faces reduced precision is checked."""

    version = forms.ModelChoiceField(
        DatasetVersion.objects.none(),
        required=False,
        label="Check on the test faces of",
        empty_label="no data set: full precision only",
        help_text="Faster engines are used from then on where accuracy stays within 0.2 points.",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["version"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 (declared above)
        field.queryset = ready_versions(user)


class LeaveOutForm(forms.Form):
    """Which expressions a model made of another does without."""

    prefix = "without"  # the page has another form with a name
    left_out = forms.MultipleChoiceField(label="Leave out")
    name = forms.CharField(
        max_length=200, required=False, label="Name", help_text="Empty: it says what is left out."
    )

    def __init__(self, *args: Any, model: Model, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._classes = model.classes
        field = self.fields["left_out"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101 (declared above)
        field.choices = [(name, name) for name in model.classes]

    def clean_left_out(self) -> list[str]:
        chosen: list[str] = self.cleaned_data["left_out"]
        if len(self._classes) - len(set(chosen)) < 2:
            raise forms.ValidationError("At least two expressions must be left.")
        return chosen
