"""Forms of data sets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms

from webapp.datasets.models import Dataset

LAYOUTS = (
    ("auto", "Look inside and decide"),
    ("ferplus", "FERPlus: images with ten votes each"),
    ("raf_db", "RAF-DB: aligned faces and one list of labels"),
    ("fer2013", "FER2013: one CSV that holds the pixels"),
    ("folders", "A folder for each expression"),
    ("csv", "Images and a CSV of labels or votes"),
    ("images", "Images without labels"),
)


class UploadsField(forms.Field):
    """Ids of finished uploads, one hidden input each."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[UUID]:
        """Raises ValidationError for what is no id."""
        try:
            return [UUID(item) for item in value or []]
        except (ValueError, AttributeError, TypeError):
            raise forms.ValidationError("That is no upload. Choose the file again.") from None


class ImportForm(forms.Form):
    """One data set from one upload, or several from several."""

    upload = UploadsField(error_messages={"required": "Choose a file or a folder first."})
    name = forms.CharField(
        max_length=200,
        required=False,
        help_text="Empty: called like its file. Of several files, each is.",
    )
    layout = forms.ChoiceField(
        choices=LAYOUTS,
        initial="auto",
        help_text="The page of the data set says what was recognised and why.",
    )
    private = forms.BooleanField(
        required=False, label="Private", help_text="Only you and administrators see it."
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if len(data.get("upload") or []) > 1:
            data["name"] = ""  # one name for several would tell nobody which is which
        return data


class PathForm(forms.Form):
    """One data set from what lies on the server already."""

    path = forms.CharField(
        max_length=4000, label="Path on the server", error_messages={"required": "Give a path."}
    )
    name = forms.CharField(max_length=200, required=False, help_text="Empty: called like the file or folder.")
    layout = forms.ChoiceField(choices=LAYOUTS, initial="auto")
    private = forms.BooleanField(
        required=False, label="Private", help_text="Only you and administrators see it."
    )


class RetryForm(forms.Form):
    """How to read a source that was not understood."""

    layout = forms.ChoiceField(choices=LAYOUTS, label="Read it as")


class EditForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs only
    """What people say of a data set."""

    class Meta:
        model = Dataset
        fields = ("name", "description", "private")
        widgets = {"description": forms.Textarea(attrs={"rows": 4})}  # noqa: RUF012 - Django's own form
        help_texts = {  # noqa: RUF012
            "description": "Where the pictures come from, under which terms, and what is odd about them.",
            "private": "Only you and administrators see it.",
        }
