"""What people say of a model."""

from __future__ import annotations

from django import forms

from webapp.registry.models import Model


class ModelForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs only
    """Name and privacy."""

    class Meta:
        model = Model
        fields = ("name", "private")
