"""Orders that people give a training after its start: another length or learning rate, a stop. No torch.

Settings say how a run begins and never change; orders are numbered and kept beside them, in job.json and,
once obeyed, in the checkpoint with the step from which they hold. So a resumed run obeys what it obeyed
before, at the same steps, and an order that comes twice is obeyed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmfrm.schema import Checked, ConfigError, from_dict, required

EXTEND, SCALE_RATE, SET_RATE, STOP_AFTER = "extend", "scale_rate", "set_rate", "stop_after"
# What an order's value is, and between what it lies.
VALUES: Mapping[str, tuple[str, float, float]] = {
    EXTEND: ("epochs more than before, or fewer", -10_000, 10_000),
    SCALE_RATE: ("factor of the learning rate", 1e-4, 1e4),
    SET_RATE: ("learning rate", 1e-8, 10.0),
    STOP_AFTER: ("epoch, from 0, after which it stops", 0, 10_000_000),
}
WHOLE = (EXTEND, STOP_AFTER)


@dataclass(frozen=True, kw_only=True)
class Order(Checked):
    """One order. Later orders have larger numbers."""

    number: int = required("Number", "From 1.")
    do: str = required("What", "What is to be done.", choices=tuple(VALUES))
    value: float = required("Value", "See VALUES.")

    def __post_init__(self) -> None:
        super().__post_init__()
        meaning, low, high = VALUES[self.do]
        if self.number < 1:
            raise ConfigError("number", "counts from 1")
        if not low <= self.value <= high or (self.do in WHOLE and self.value != int(self.value)):
            whole = "a whole number " if self.do in WHOLE else ""
            raise ConfigError("value", f"{self.value} is not {whole}between {low:g} and {high:g} ({meaning})")
        if self.do == EXTEND and not self.value:
            raise ConfigError("value", f"is 0, which changes nothing ({meaning})")

    @property
    def changes_learning(self) -> bool:
        """Whether it bends the course of the weights; an order to stop does not."""
        return self.do != STOP_AFTER


def read_orders(rows: Iterable[Mapping[str, Any]]) -> tuple[Order, ...]:
    """Orders by their number. Raises ConfigError naming what is wrong."""
    orders = sorted((from_dict(Order, row, "steering.") for row in rows), key=lambda order: order.number)
    if len({order.number for order in orders}) < len(orders):
        raise ConfigError("steering.number", "two orders have the same")
    return tuple(orders)


def in_words(do: str, value: float) -> str:
    """An order as people read it."""
    match do:
        case "extend":
            plural = "" if abs(value) == 1 else "s"
            return f"{abs(value):.0f} {'more' if value > 0 else 'fewer'} epoch{plural}"
        case "scale_rate":
            return f"Learning rate × {value:g}"
        case "set_rate":
            return f"Learning rate {value:g}"
        case _:
            return f"Stop after epoch {value + 1:.0f}"
