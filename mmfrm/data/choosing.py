"""What people choose of a source that was recognised: its classes, its splits, its groups. No torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from mmfrm.classes import LEFT_OUT, renamed
from mmfrm.data.layout import Item, LeftOutError, Loaded, Plan
from mmfrm.data.native import Refusal
from mmfrm.failures import JobError
from mmfrm.jobs import NO_GROUPS, SourceJob
from mmfrm.labels import DROPPED, label_votes

_REASON = "its class is left out: "
# An item as it was chosen to be, and the class for which it is left out ("" where it stays).
Chosen = tuple[Item, str]


def choices_of(job: SourceJob) -> dict[str, Any]:
    """What differs from how the source would be read without any choice; empty where nothing does."""
    names = {old: new for old, new in sorted(job.mapping.items()) if old != new}
    made = {"classes": names, "group_by": job.group_by}
    return {what: choice for what, choice in made.items() if choice} | (
        {"splits": job.splits} if job.splits != "as_found" else {}
    )


def identity(job: SourceJob) -> str:
    """Names the choices, "" where there is none: with others, a source gives another data set."""
    made = choices_of(job)
    return json.dumps(made, sort_keys=True) + " " if made else ""


def chosen(plan: Plan, job: SourceJob) -> Plan:
    """The plan with the choices of the job applied to every item. What was chosen stands in its report.

    Raises JobError for a class or a column that the source does not have, or where fewer than two classes
    would stay.
    """
    made, read = choices_of(job), plan.stream
    by = plan.groups.by if plan.groups is not None else ""
    if job.group_by not in ("", NO_GROUPS, by):
        raise JobError(f"No column {job.group_by} can group what is read as {plan.layout}.", resumable=False)
    if by and job.group_by != NO_GROUPS:
        plan = replace(plan, report=plan.report | {"grouped_by": by})
    if not made:
        return plan
    change: Callable[[Item], Chosen] = _as_it_is
    if "classes" in made:
        plan, change = _with_classes(plan, made["classes"])

    def stream(start: int) -> Iterator[Loaded]:
        for item, data in read(start):
            now, left_out = change(item)
            if job.splits == "none":
                now = replace(now, split=None)
            if job.group_by == NO_GROUPS:
                now = replace(now, group=None)
            yield now, LeftOutError(_REASON + left_out) if left_out else data

    return replace(plan, stream=stream, report=plan.report | {"chosen": made})


def left_out_of(refusals: Iterable[Refusal]) -> dict[str, int]:
    """How many images each class took with it when it was left out."""
    return dict(Counter(r.reason[len(_REASON) :] for r in refusals if r.reason.startswith(_REASON)))


def _as_it_is(item: Item) -> Chosen:
    return item, ""


def _with_classes(plan: Plan, names: dict[str, str]) -> tuple[Plan, Callable[[Item], Chosen]]:
    try:
        goals = renamed(plan.classes, names)
    except ValueError as error:
        raise JobError(f"{error}.", resumable=False) from error
    classes = list(dict.fromkeys(name for name in goals if name))
    by_label = [None if goal is None else classes.index(goal) for goal in goals]

    def by_its_label(item: Item) -> Chosen:
        if item.label is None:
            return item, ""
        left_out = plan.classes[item.label] if goals[item.label] is None else ""
        return replace(item, label=by_label[item.label]), left_out

    if plan.vote_columns is None:
        return replace(plan, classes=classes), by_its_label
    goal_of = dict(zip(plan.classes, goals, strict=True))
    columns_of = [goal_of.get(name, name) or LEFT_OUT for name in plan.vote_columns]
    columns = list(dict.fromkeys(columns_of))
    recount = _recounting([columns.index(name) for name in columns_of], columns)
    left_out_classes = ", ".join(name for name, goal in goal_of.items() if goal is None)

    def by_its_votes(item: Item) -> Chosen:
        if item.votes is None:  # a label by hand
            return by_its_label(item)
        votes, winner = recount(tuple(item.votes))
        label = classes.index(winner) if winner in classes else None
        was = left_out_classes if item.label is None else plan.classes[item.label]
        return replace(item, votes=list(votes), label=label), was if winner == LEFT_OUT else ""

    return replace(plan, classes=classes, vote_columns=columns), by_its_votes


def _recounting(
    column_of: list[int], columns: list[str]
) -> Callable[[tuple[int, ...]], tuple[tuple[int, ...], str]]:
    """Votes under the old columns to votes under the new ones, and the column with the majority ("": none).

    Remembered, since ten people give the same few hundred answers again and again.
    """

    @lru_cache(maxsize=100_000)
    def recount(votes: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        summed = np.zeros(len(columns), np.int64)
        np.add.at(summed, column_of, votes)
        winner = int(label_votes(summed[None], range(len(columns)), "majority").labels[0])
        return tuple(summed.tolist()), "" if winner == DROPPED else columns[winner]

    return recount
