"""Forms of labelling."""

from __future__ import annotations

from typing import Any

from django import forms

from webapp.accounts.models import User
from webapp.accounts.permissions import visible
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.labeling.making import SPLITS, proposed_mapping
from webapp.labeling.models import LabelBatch
from webapp.labeling.standing import MOST_LABELS
from webapp.registry import weights
from webapp.uploads.models import Upload

SMALLEST, LARGEST = 20, 4000  # a face that is looked for, pixels a side
COOLEST, HOTTEST = 0.05, 20.0  # temperatures


class BatchForm(forms.Form):
    """Photos and the model that labels them."""

    upload = forms.UUIDField(widget=forms.HiddenInput, error_messages={"required": "Drop your photos first."})
    model = forms.ChoiceField(help_text="A model of the registry, or the best checkpoint of a finished run.")
    name = forms.CharField(max_length=200, required=False, help_text="Empty: the name of what you dropped.")
    faces = forms.ChoiceField(
        choices=[
            ("aligned", "Already aligned: each photo is one face crop"),
            ("find", "Find and align faces: photos as they come, also of groups"),
        ],
        required=False,
        label="Faces",
        help_text="Every face that is found becomes a row; a photo without one is a row that says so.",
    )
    min_face = forms.IntegerField(
        min_value=SMALLEST,
        max_value=LARGEST,
        required=False,
        label="Smallest face",
        help_text="Pixels a side, where faces are to be found. Empty: 40.",
    )
    keep_photos = forms.BooleanField(
        required=False,
        initial=True,
        label="Keep the photos",
        help_text="Where faces are to be found: a copy of each photo, at most 1,280 pixels a side and "
        "without metadata, stays on this server to show its faces in, and is deleted with the batch. "
        "Without it only the face crops stay.",
    )
    temperature = forms.FloatField(
        min_value=COOLEST,
        max_value=HOTTEST,
        required=False,
        label="Temperature",
        help_text="Above 1 makes every answer less sure, below 1 surer. Empty: the model's own.",
    )
    flip_average = forms.BooleanField(
        required=False,
        label="Average with the mirror image",
        help_text="A little more accurate, half as fast.",
    )
    private = forms.BooleanField(required=False, help_text="Only you and administrators see it.")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        groups = weights.choices(weights.models(user), weights.runs(user))
        self.has_models = bool(groups)
        self.fields["model"].choices = groups  # type: ignore[attr-defined]

    def clean_upload(self) -> Upload:
        upload = Upload.objects.filter(pk=self.cleaned_data["upload"], owner=self.user).first()
        if upload is None or not upload.is_finished:
            raise forms.ValidationError("These photos have not arrived whole. Drop them again.")
        return upload

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        data["faces"] = data.get("faces") or "aligned"
        data["min_face"] = data.get("min_face") or 40
        if isinstance(data.get("upload"), Upload) and not data.get("name"):
            data["name"] = data["upload"].filename[:200]
        return data


class EditForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs only
    """Name and privacy of a batch."""

    class Meta:
        model = LabelBatch
        fields = ("name", "private")


class SecondModelForm(forms.Form):
    """The model whose view is wanted beside that of a batch's own."""

    model = forms.ChoiceField(
        label="Second model",
        help_text="It labels the faces that are stored here; nothing is uploaded again. A batch of the same "
        "photos that it has labelled before is not needed for that.",
    )

    def __init__(self, *args: Any, user: User, batch: LabelBatch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        asked = batch.second_opinions.exclude(model=None).values("model")
        others = weights.models(user).exclude(pk=batch.model_id).exclude(pk__in=asked)
        groups = weights.choices(others, weights.runs(user))
        self.has_models = bool(groups)
        self.fields["model"].choices = [("", "Choose a model"), *groups]  # type: ignore[attr-defined]


class LabelsWantedForm(forms.Form):
    """How many people label each face."""

    labels_wanted = forms.IntegerField(
        min_value=1,
        max_value=MOST_LABELS,
        label="People who label each face",
        help_text="With two or more, nobody sees what the others say until all have answered.",
    )


class DatasetForm(forms.Form):
    """Which faces of a batch become a data set, and which."""

    dataset = forms.ModelChoiceField(
        Dataset.objects.none(), required=False, label="As", empty_label="A new data set",
        help_text="Or a new version of a data set that was made of this batch before.",
    )  # fmt: skip
    name = forms.CharField(max_length=200, required=False, label="Called", help_text="Empty: like the batch.")
    with_confident = forms.BooleanField(
        required=False,
        label="With the confident rest",
        help_text="Also faces that nobody reviewed, labelled by the model.",
    )
    threshold = forms.FloatField(
        min_value=0.0, max_value=1.0, initial=0.9, required=False, label="Confident means at least"
    )

    def __init__(self, *args: Any, user: User, batch: LabelBatch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mine = visible(Dataset.objects.filter(versions__made_of__batch=batch), user).distinct()
        self.fields["dataset"].queryset = mine  # type: ignore[attr-defined]

    def clean_threshold(self) -> float:
        value: float | None = self.cleaned_data["threshold"]
        return 0.9 if value is None else value


class AddForm(forms.Form):
    """Which faces of a batch are added to a version of a data set, and what classes they get there."""

    split = forms.ChoiceField(
        choices=list(SPLITS.items()), initial="train", label="Put them into",
        help_text="Faces that the data set has already stay where they are; only their labels are set right. "
        "What is put into the test split changes what later models are measured on.",
    )  # fmt: skip
    with_confident = forms.BooleanField(
        required=False,
        label="With the confident rest",
        help_text="Also faces that nobody reviewed, labelled by the model; never over a label that is there.",
    )
    threshold = forms.FloatField(
        min_value=0.0, max_value=1.0, initial=0.9, required=False, label="Confident means at least"
    )

    def __init__(self, *args: Any, batch: LabelBatch, version: DatasetVersion, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._classes: list[str] = batch.model.classes
        goals = [("", "Leave out"), *((name, name) for name in version.classes)]
        for i, (name, goal) in enumerate(proposed_mapping(batch, version).items()):
            self.fields[f"map_{i}"] = forms.ChoiceField(
                choices=goals, required=False, initial=goal, label=f"{name} becomes"
            )

    def mapping_fields(self) -> list[tuple[str, forms.BoundField]]:
        """Each class of the batch with the field that says what it becomes."""
        return [(name, self[f"map_{i}"]) for i, name in enumerate(self._classes)]

    def wish(self) -> dict[str, Any]:
        """What `making.add_to` takes."""
        data = self.cleaned_data
        return {
            "mapping": {name: data[f"map_{i}"] for i, name in enumerate(self._classes)},
            "split": data["split"],
            "with_confident": data["with_confident"],
            "threshold": 0.9 if data["threshold"] is None else data["threshold"],
        }
