"""A job's events for people at a terminal: a progress bar, and a line for what matters. No torch."""

from __future__ import annotations

from types import TracebackType
from typing import IO, Any, Self

from tqdm import tqdm

from mmfrm.events import (
    EpochEnd,
    Evaluated,
    Event,
    Failed,
    Finished,
    Notice,
    Progress,
    Started,
    Steered,
    StepDone,
    Stopped,
)
from mmfrm.steering import in_words


class Screen:
    """Shows events on a stream. A context: leaving it closes the bar."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._bar: tqdm[Any] | None = None
        self._bar_of: tuple[str, int] | None = None  # phase and total that the bar shows
        self._step = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def tell(self, event: Event) -> None:
        """Show one event; kinds that say nothing to people (rows, checkpoints) are passed over."""
        if isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, StepDone):
            self._step = f"loss {event.loss:.3f}, "
        else:
            if isinstance(event, Finished | Stopped | Failed):
                self._close()
            for line in lines(event):
                tqdm.write(line, file=self._stream)

    def _progress(self, event: Progress) -> None:
        bar = self._bar
        if bar is None or self._bar_of != (event.phase, event.total) or event.done < bar.n:
            self._close()
            bar = self._bar = tqdm(
                total=event.total,
                initial=event.done,
                desc=event.phase,
                unit=f" {event.unit}",
                file=self._stream,
                dynamic_ncols=True,
                leave=False,
            )
            self._bar_of = (event.phase, event.total)
        bar.n = event.done
        remaining = "" if event.seconds_left is None else f"{clock(event.seconds_left)} left in all"
        bar.set_postfix_str(self._step + remaining, refresh=True)
        self._step = ""  # of this Progress alone: validating has no steps

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def lines(event: Event) -> list[str]:  # noqa: PLR0911 - a table of kinds
    """What people are told of an event, a line each; nothing for most kinds."""
    match event:
        case Started():
            facts = ", ".join(f"{k} {v}" for k, v in event.facts.items() if not isinstance(v, dict | list))
            return [("goes on: " if event.resumed else "started: ") + facts]
        case EpochEnd():
            best = "  best so far" if event.best else ""
            return [
                f"epoch {event.epoch + 1}: train {headline(event.train)} | val {headline(event.val)} "
                f"| {event.images_per_second:.0f} images/s{best}"
            ]
        case Evaluated():
            return [f"{event.split}: {headline(event.figures)}"]
        case Notice():
            return [event.text if event.level == "info" else f"{event.level}: {event.text}"]
        case Steered():
            return [f"{in_words(event.do, event.value)}, from step {event.step + 1} on"]
        case Stopped():
            return [f"stopped: {event.reason}. The same command goes on from here."]
        case Finished():
            return ["finished", *(f"  {k}: {v}" for k, v in event.result.items())]
        case Failed():
            again = " Resumable." if event.resumable else ""
            return [*event.detail.splitlines(), f"failed: {event.message}{again}"]
    return []


def headline(figures: dict[str, Any]) -> str:
    """The figures of a split that people look at first."""
    parts = []
    for name, title in (("loss", "loss"), ("accuracy", "accuracy"), ("mean_class_accuracy", "mean-class")):
        value = figures.get(name)
        if value is not None:
            parts.append(f"{title} {value:.3f}" if name == "loss" else f"{title} {100 * value:.1f} %")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
