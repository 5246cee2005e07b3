"""What people say when they steer a run: each part of the dialog is a small form of its own."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django import forms

from mmfrm.steering import EXTEND, SCALE_RATE, SET_RATE, STOP_AFTER, VALUES
from webapp.experiments.models import Run, Steering

Do = Steering.Do


class SteerForm(forms.Form):
    """Base of the parts. `title` and `words` stand above its fields, `button` on its button."""

    title: ClassVar[str]
    button: ClassVar[str]
    words = ""  # when it takes effect, and what it does besides

    part = forms.CharField(widget=forms.HiddenInput)
    request_key = forms.UUIDField(widget=forms.HiddenInput)
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, run: Run, part: str, done: int, seen: int, rate: str) -> None:
        initial = {"part": part, "request_key": uuid.uuid4(), "seen": seen}
        super().__init__(data, initial=initial, auto_id=f"steer-{part}-%s", label_suffix="")
        self.run, self.done, self.rate = run, done, rate
        self.set_up()

    def set_up(self) -> None:
        """What depends on the run."""

    def order(self) -> dict[str, Any]:
        """`do`, `value` and `text` of a valid form, for webapp.experiments.steering.steer."""
        raise NotImplementedError


class StopAfterForm(SteerForm):
    title, button = "Stop after an epoch", "Stop after it"
    epoch = forms.IntegerField(label="Epoch")

    def set_up(self) -> None:
        self.words = "That epoch is measured and kept; then it stops, and can be resumed."
        _limit(self, "epoch", self.done + 1, self.run.epochs, self.done + 1)

    def order(self) -> dict[str, Any]:
        return {"do": STOP_AFTER, "value": self.cleaned_data["epoch"] - 1}


class LengthForm(SteerForm):
    title, button = "Train longer, or end earlier", "Set the end"
    epochs = forms.IntegerField(label="Epochs in all")
    planned = forms.IntegerField(widget=forms.HiddenInput)  # as the page knew it: sent twice, it is one order

    def set_up(self) -> None:
        self.fields["planned"].initial = self.run.epochs
        _, _, most = VALUES[EXTEND]
        is_over = self.run.job.state == "finished"
        least = self.run.epochs + 1 if is_over else max(1, self.done)
        _limit(self, "epochs", least, self.run.epochs + int(most), None)
        self.words = f"Now {self.run.epochs}. An epoch in progress is finished; the end brings test figures."
        if self.run.config["optim"]["schedule"] == "cosine":
            self.words += " The learning rate goes on as if its cosine had been planned over the new number."
        self.words += " With more epochs patience counts anew; RFLoss starts where it was to."
        if is_over:
            self.words += (
                " It goes on from its last checkpoint. Its test faces have been looked at; they are again "
                "at the new end, if its best epoch is then another."
            )

    def clean(self) -> dict[str, Any]:
        """The number that is planned already is no order."""
        data = super().clean() or {}
        if data.get("epochs") is not None and data["epochs"] == data.get("planned"):
            self.add_error("epochs", f"{data['epochs']:,} are planned already.")
        return data

    def order(self) -> dict[str, Any]:
        return {"do": EXTEND, "value": self.cleaned_data["epochs"] - self.cleaned_data["planned"]}


class RateForm(SteerForm):
    title, button = "Learning rate", "Change it"
    do = forms.ChoiceField(label="How", choices=((SCALE_RATE, "Multiply by"), (SET_RATE, "Set to")))
    rate_value = forms.FloatField(label="Value")

    def set_up(self) -> None:
        self.fields["rate_value"].widget.attrs.update({"step": "any", "inputmode": "decimal"})
        now = f"Now {self.rate}. " if self.rate else ""
        self.words = f"{now}It holds from the next step on, and the schedule goes on from there."

    def clean(self) -> dict[str, Any]:
        """The range depends on what is to be done."""
        data = super().clean() or {}
        do, value = data.get("do"), data.get("rate_value")
        if do and value is not None:
            _, low, high = VALUES[do]
            if not low <= value <= high:
                self.add_error("rate_value", f"Must be {low:g} to {high:g}.")
        return data

    def order(self) -> dict[str, Any]:
        return {"do": self.cleaned_data["do"], "value": self.cleaned_data["rate_value"]}


class NoteForm(SteerForm):
    title, button = "Note", "Add the note"
    words = "Marked on every chart, with your name in the history."
    note_epoch = forms.IntegerField(label="At epoch")
    text = forms.CharField(label="What you want to remember", max_length=500)

    def set_up(self) -> None:
        _limit(self, "note_epoch", 1, self.run.epochs, max(1, min(self.done + 1, self.run.epochs)))

    def order(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {"do": Do.NOTE, "value": data["note_epoch"] - 1, "text": data["text"]}


PARTS: dict[str, type[SteerForm]] = {
    "stop_after": StopAfterForm,
    "extend": LengthForm,
    "rate": RateForm,
    "note": NoteForm,
}


def _limit(form: SteerForm, name: str, low: int, high: int, initial: int | None) -> None:
    """Bounds that the browser knows and that the form checks."""
    old = form.fields[name]
    form.fields[name] = forms.IntegerField(
        label=old.label,
        min_value=low,
        max_value=max(low, high),
        initial=initial,
        error_messages={
            "min_value": f"Must be {low} to {high:,}.",
            "max_value": f"Must be {low} to {high:,}.",
        },
    )
