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
