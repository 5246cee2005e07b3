"""A face as pages show it: its class, its probabilities in order, and what people said."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.labeling.models import Prediction


@dataclass(frozen=True)
class ShownFace:
    """One row of a batch, in words."""

    row: Prediction
    name: str  # the model's class; "" where there is no answer
    ranked: list[tuple[str, float]]  # classes with their probabilities, the likeliest first
    said: str  # a person's class or verdict; "" before anybody said one
    second: str = ""  # what another model says, where faces are ordered by it

    @property
    def is_changed(self) -> bool:
        """Whether a person gave it another class than the model."""
        return self.row.corrected is not None and self.row.corrected != self.row.label


def shown(row: Prediction, classes: list[str], *, second: str = "") -> ShownFace:
    """A face in words; `classes` are those of the batch's model."""
    ranked = sorted(zip(classes, row.probabilities or [], strict=False), key=lambda pair: -pair[1])
    said = row.get_verdict_display() if row.corrected is None else classes[row.corrected]
    return ShownFace(
        row=row,
        name="" if row.label is None else classes[row.label],
        ranked=ranked,
        said=said if row.verdict else "",
        second=second,
    )
