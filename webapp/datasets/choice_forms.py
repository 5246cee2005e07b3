"""The form after a look: how to read the source, what its classes become, what groups its faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.html import format_html

from mmfrm.classes import MOST_CLASSES, class_name, renamed
from mmfrm.jobs import NO_GROUPS
from webapp.datasets.forms import DefaultedField, ReadingForm
from webapp.datasets.models import DatasetImport
from webapp.datasets.report import LAYOUT_NAMES, SPLIT_NAMES
from webapp.jobs.models import Job

MOST_LISTED = 200  # classes; a table that has more of them names no expressions
LONGEST_NAME = 60  # as an edit of a face keeps it
NOBODY = "Nobody: faces are not kept together"
COLUMN = "column "  # before the name of one, so that none is taken for another choice
NOTHING_CHOSEN: dict[str, Any] = {"mapping": {}, "group_by": "", "splits": "as_found"}


def reading_form(row: DatasetImport, sent: Mapping[str, Any] | None = None) -> ReadingForm:
    """The form of a source at rest: with choices, where it was looked at (and `sent` is of that page)."""
    job = row.job
    looked = job.kind == "preview" and job.state == Job.State.FINISHED and "tally" in job.result
    if looked and (sent is None or "looked" in sent):
        return ChoiceForm(sent, row=row)
    return ReadingForm(sent, initial=row.options)


class ChoiceForm(ReadingForm):
    """A ReadingForm that knows what was recognised. `looked` says at which look the page was made."""

    use_required_attribute = False  # a class that is left out needs no name
    looked = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, sent: Mapping[str, Any] | None, *, row: DatasetImport) -> None:
        options: dict[str, Any] = NOTHING_CHOSEN | row.options
        super().__init__(sent, initial=options | {"looked": row.job_id})
        self._look, self._options = row.job_id, options
        self._said: dict[str, Any] = row.job.result
        self.classes: list[str] = self._said["classes"]
        self.counts: dict[str, int] = self._said["tally"]["classes"]
        self.unlabelled = self.counts.get("", 0)
        self.by_votes = self._said["vote_columns"] is not None
        self.too_many = MOST_CLASSES if len(self.classes) > MOST_CLASSES else 0
        self.lists_classes = 2 <= len(self.classes) <= MOST_LISTED
        if self.lists_classes:
            self._add_classes(options["mapping"])
        self._add_groups(options["group_by"])
        self._add_splits()
        self._chosen_fields = set(self.fields) - set(ReadingForm.base_fields) - {"looked"}

    def _add_classes(self, mapping: Mapping[str, str]) -> None:
        for i, name in enumerate(self.classes):
            self.fields[f"name_{i}"] = forms.CharField(
                max_length=LONGEST_NAME, initial=mapping.get(name) or name, label=f"{name} is called",
                error_messages={"required": "Give it a name, or leave it out."},
                widget=forms.TextInput(attrs={"list": "known-classes", "autocomplete": "off"}),
            )  # fmt: skip
            self.fields[f"drop_{i}"] = forms.BooleanField(
                required=False,
                initial=mapping.get(name) == "",
                label="Leave out",
                widget=forms.CheckboxInput(attrs={"aria-label": f"Leave {name} out"}),
            )

    def _add_groups(self, chosen: str) -> None:
        groups = self._said["groups"]
        if groups is None:
            return
        recognised = groups["recognised"]
        columns = {c["name"]: _described(c) for c in groups["columns"]}
        found = columns.pop(recognised, recognised.capitalize()) if recognised else NOBODY
        choices = [("as_found", found), *((COLUMN + name, words) for name, words in columns.items())]
        if recognised:
            choices.append(("nobody", NOBODY))
        self.fields["people"] = DefaultedField(
            choices=choices, initial="as_found", label="Who is who, by",
            help_text=format_html(
                "Recognised: {}, since {}. Faces of one person are never parted by a split that is carved.",
                recognised or "nothing", groups["why"],
            ),
        )  # fmt: skip
        self.initial["people"] = {"": "as_found", NO_GROUPS: "nobody"}.get(chosen, COLUMN + chosen)

    def _add_splits(self) -> None:
        found = {split: n for split, n in self._said["tally"]["splits"].items() if split}
        if not found:
            return
        listed = ", ".join(f"{n:,} {SPLIT_NAMES[split].lower()}" for split, n in found.items())
        self.fields["splits"] = DefaultedField(
            choices=[("as_found", f"As found: {listed}"), ("none", "Forget them: others are carved")],
            initial="as_found",
        )

    def rows(self) -> list[tuple[str, int, forms.BoundField, forms.BoundField]]:
        """Each class, how many images have it, what it is called, and whether it is left out."""
        if not self.lists_classes:
            return []
        return [
            (name, self.counts.get(name, 0), self[f"name_{i}"], self[f"drop_{i}"])
            for i, name in enumerate(self.classes)
        ]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("looked") != self._look:
            self.add_error(None, "It was looked at again meanwhile. This is what that look recognised.")
            return data
        if self._is_read_otherwise() and self._chosen_fields & set(self.changed_data):
            name = LAYOUT_NAMES.get(self._said["layout"], self._said["layout"])
            self.add_error("layout", f"Look again first: what is chosen below is about {name}.")
        elif self.lists_classes:
            data["mapping"] = self._mapping(data)
        return data

    def _is_read_otherwise(self) -> bool:
        return self.cleaned_data.get("layout") not in (self._options.get("layout"), self._said["layout"])

    def _mapping(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Classes that get another name, or "" where they are left out; problems go beside the fields."""
        mapping: dict[str, str] = {}
        for i, name in enumerate(self.classes):
            if data.get(f"drop_{i}"):
                mapping[name] = ""
                self.errors.pop(f"name_{i}", None)
                continue
            if f"name_{i}" in self.errors:
                continue
            try:
                given = class_name(data[f"name_{i}"])
            except ValueError as error:
                self.add_error(f"name_{i}", f"{error}.")
                continue
            if given != name:
                mapping[name] = given
        if mapping and not self.errors:
            try:
                renamed(self.classes, mapping)
            except ValueError as error:
                self.add_error(None, f"{str(error).capitalize()}.")
        return mapping

    def reading(self) -> dict[str, Any]:
        """As ReadingForm's, with the choices; they end with the layout that they are about."""
        reading = super().reading()
        if self._is_read_otherwise():
            return reading | NOTHING_CHOSEN
        data = self.cleaned_data
        people = data.get("people", "as_found")
        group_by = {"as_found": "", "nobody": NO_GROUPS}.get(people, people.removeprefix(COLUMN))
        made = {what: data[what] for what in ("mapping", "splits") if what in data}
        return reading | NOTHING_CHOSEN | {"group_by": group_by} | made


def _described(column: Mapping[str, Any]) -> str:
    many = f"{column['values']:,} different value{'s' * (column['values'] != 1)}"
    return f"{column['name']}: {many}" + (f", such as {column['example']}" if column["example"] else "")
