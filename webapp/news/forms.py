"""What people say about a webhook."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit

from django import forms

from webapp.news.models import Webhook
from webapp.news.sending import ForbiddenError, addresses_of


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]
    """Where, and of what."""

    url = forms.URLField(
        label="Address",
        max_length=500,
        assume_scheme="https",
        help_text="Your program's, beginning with https:// (http:// only within a network that is allowed).",
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
    )

    class Meta:
        model = Webhook
        fields: ClassVar = ["name", "url", "on_finished", "on_failed", "on_stopped", "only_mine", "is_on"]
        labels: ClassVar = {
            "name": "Name",
            "on_finished": "when work finishes",
            "on_failed": "when work fails",
            "on_stopped": "when work is stopped",
            "only_mine": "only of my own work",
            "is_on": "On",
        }

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise forms.ValidationError("It must begin with https:// or http://.")
        if parts.username or parts.password:
            raise forms.ValidationError("No user name or password in it: messages are signed instead.")
        try:
            addresses_of(url)
        except ForbiddenError as error:
            raise forms.ValidationError(str(error)) from error
        return url

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not any(data.get(name) for name in ("on_finished", "on_failed", "on_stopped")):
            self.add_error("on_finished", "Choose at least one.")
        return data
