"""What a form makes is made once, however often and from however many windows the form is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import IntegrityError, transaction

T = TypeVar("T")


def made_once(find: Callable[[], T | None], make: Callable[[], T]) -> T:
    """What `find` finds, else what `make` makes, all of it or nothing.

    Two that come at once both find nothing; the database then lets one of them write the unique request
    key, and the other one answers with what the first has made.
    """
    earlier = find()
    if earlier is not None:
        return earlier
    try:
        with transaction.atomic():
            return make()
    except IntegrityError:
        winners = find()
        if winners is None:  # something else was wrong
            raise
        return winners
