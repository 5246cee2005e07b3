"""A running training's loss as a line of a few pixels, for the home page."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models.fields.json import KT

from webapp.jobs.models import JobEvent

POINTS = 60  # the latest
WIDTH, HEIGHT = 120, 26  # of the drawing; the page stretches it
EDGE = 2


@dataclass(frozen=True)
class Spark:
    """The latest losses, oldest first."""

    what: str  # validation loss, by epoch; or training loss, by step
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        return self.values[-1]

    @property
    def line(self) -> str:
        """Points of an SVG polyline; the lowest loss lies at the bottom."""
        low, high = min(self.values), max(self.values)
        across = (WIDTH - 2 * EDGE) / (len(self.values) - 1)
        down = (HEIGHT - 2 * EDGE) / ((high - low) or 1.0)
        return " ".join(
            f"{EDGE + i * across:.1f},{EDGE + (high - value) * down:.1f}"
            for i, value in enumerate(self.values)
        )

    @property
    def words(self) -> str:
        """For those who do not see the line."""
        return f"The {self.what} went from {self.values[0]:.3g} to {self.last:.3g}"


def spark_of(job_id: int) -> Spark | None:
    """The validation loss once two epochs have ended, before that the loss of the steps; None before both."""
    epochs = _latest(job_id, "epoch", "payload__val__loss")
    if len(epochs) > 1:
        return Spark("validation loss", epochs)
    steps = _latest(job_id, "step", "payload__loss")
    return Spark("training loss", steps) if len(steps) > 1 else None


def _latest(job_id: int, kind: str, path: str) -> tuple[float, ...]:
    rows = JobEvent.objects.filter(job_id=job_id, kind=kind).order_by("-key").annotate(value=KT(path))
    values = list(rows.values_list("value", flat=True)[:POINTS])
    return tuple(float(value) for value in reversed(values) if value is not None)
