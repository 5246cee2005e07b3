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


class DefaultedField(forms.ChoiceField):
    """A select that always has an answer: its initial one where nothing is sent."""

    def clean(self, value: Any) -> Any:
        return super().clean(value or self.initial)


class ReadingForm(forms.Form):
    """How a source is read: as what, and what is done to its pictures."""

    layout = forms.ChoiceField(
        choices=LAYOUTS,
        initial="auto",
        help_text="The page of the data set says what was recognised and why.",
    )
    faces = DefaultedField(
        choices=[
            ("aligned", "Already aligned: each picture is one face crop"),
            ("find", "Find and align: photos, whose faces become crops of 112×112"),
        ],
        initial="aligned",
    )
    min_face = forms.IntegerField(
        min_value=20,
        max_value=4000,
        required=False,
        initial=40,
        label="Smallest face",
        help_text="Pixels a side; smaller ones are not looked for. Empty: 40.",
    )
    several = DefaultedField(
        choices=[("largest", "Take the largest face"), ("leave_out", "Leave the photo out")],
        initial="largest",
        label="Photos with several faces",
        help_text="Either way they are listed among the odd files, and so are photos without a face.",
    )

    def reading(self) -> dict[str, Any]:
        """The choices of a valid form, as `services` keep them."""
        data = self.cleaned_data
        return {
            "layout": data["layout"],
            "faces": data["faces"],
            "min_face": data["min_face"] or 40,
            "several": data["several"],
        }


class UploadsField(forms.Field):
    """Ids of finished uploads, one hidden input each."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[UUID]:
        """Raises ValidationError for what is no id."""
        try:
            return [UUID(item) for item in value or []]
        except (ValueError, AttributeError, TypeError):
            raise forms.ValidationError("That is no upload. Choose the file again.") from None


class ImportForm(ReadingForm):
    """One data set from one upload, or several from several."""

    upload = UploadsField(error_messages={"required": "Choose a file or a folder first."})
    name = forms.CharField(
        max_length=200,
        required=False,
        help_text="Empty: called like its file. Of several files, each is.",
    )
    private = forms.BooleanField(
        required=False, label="Private", help_text="Only you and administrators see it."
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if len(data.get("upload") or []) > 1:
            data["name"] = ""  # one name for several would tell nobody which is which
        return data


class PathForm(ReadingForm):
    """One data set from what lies on the server already."""

    path = forms.CharField(
        max_length=4000, label="Path on the server", error_messages={"required": "Give a path."}
    )
    name = forms.CharField(max_length=200, required=False, help_text="Empty: called like the file or folder.")
    private = forms.BooleanField(
        required=False, label="Private", help_text="Only you and administrators see it."
    )


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
