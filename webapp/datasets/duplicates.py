"""Faces that are alike: groups of them as pages show them, and what is done about a group or about many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.db.models import Count, Q, QuerySet

from webapp.accounts.models import User
from webapp.datasets import revising
from webapp.datasets.models import AlikeGroup, DatasetVersion, Edit, Sample
from webapp.errors import RefusedError

GROUPS_A_PAGE = 24
MOST_SHOWN = 12  # faces of one group
KINDS = {
    "": Q(),
    "leaking": Q(is_leaking=True),
    "across": Q(is_across=True),
    "conflict": Q(has_conflict=True),
    "equal": Q(has_equal=True),
    "near": Q(has_equal=False),
}
NAMES = {
    "": "All",
    "leaking": "Leaking into training",
    "across": "Across splits",
    "conflict": "Labels differ",
    "equal": "Equal pixels",
    "near": "Nearly equal only",
}


@dataclass(frozen=True)
class Shown:
    """A group on its page."""

    group: AlikeGroup
    faces: list[tuple[Sample, str]]  # each with its label
    more: int  # faces that are not shown
    labels: list[str]  # the labels that occur, where they differ


def kind_of(query: Mapping[str, str]) -> str:
    """Which groups an address asks for; all where it asks for nothing known."""
    asked = query.get("kind", "")
    return asked if asked in KINDS else ""


def counts(version: DatasetVersion) -> dict[str, int]:
    """How many groups there are of each kind: one query."""
    counted = {name or "all": Count("pk", filter=which) for name, which in KINDS.items() if name}
    found: dict[str, int] = version.alike_groups.aggregate(all=Count("pk"), **counted)
    return {name: found[name or "all"] for name in KINDS}


def of_kind(version: DatasetVersion, kind: str) -> QuerySet[AlikeGroup]:
    """Groups in order of their first face."""
    return AlikeGroup.objects.filter(KINDS[kind], version=version).order_by("number")


def shown(version: DatasetVersion, kind: str, number: str | None) -> tuple[Page[AlikeGroup], list[Shown]]:
    """A page of groups with their faces: three queries."""
    page = Paginator(of_kind(version, kind), GROUPS_A_PAGE).get_page(number)
    groups = list(page.object_list)
    wanted = [i for group in groups for i in _first(group)]
    faces = {s.index: s for s in Sample.objects.filter(version=version, index__in=wanted).defer("votes")}
    return page, [_shown(version, group, faces) for group in groups]


def _first(group: AlikeGroup) -> list[int]:
    """The faces that a page shows of a group: the first, and always the one to keep."""
    first: list[int] = group.indices[:MOST_SHOWN]
    return first if group.keep in first else [*first[:-1], group.keep]


def _shown(version: DatasetVersion, group: AlikeGroup, faces: Mapping[int, Sample]) -> Shown:
    found = [faces[i] for i in _first(group) if i in faces]
    named = [(s, version.classes[s.label] if s.label is not None else "") for s in found]
    labels = sorted({label for _, label in named} - {""})
    return Shown(group, named, len(group.indices) - len(found), labels if group.has_conflict else [])


def leave_out_all_but_one(
    version: DatasetVersion, user: User, groups: Iterable[AlikeGroup], *, keep: int | None = None
) -> Edit:
    """One face of each group stays: `keep` of a single group, otherwise each group's own."""
    indices = []
    for group in groups:
        stays = group.keep if keep is None else keep
        if stays not in group.indices:
            raise RefusedError("That face is not of this group.")
        indices += [i for i in group.indices if i != stays]
    return _leave_out(version, user, indices)


def leave_out_training(version: DatasetVersion, user: User, groups: Iterable[AlikeGroup]) -> Edit:
    """Training faces go where another of their group is held out, so that nothing leaks."""
    return _leave_out(version, user, [i for group in groups for i in group.training])


def relabel(version: DatasetVersion, user: User, group: AlikeGroup, label: str) -> Edit:
    """One label for all faces of a group; those that have it already are left alone."""
    if label not in version.classes:
        raise RefusedError(f"{label} is not a class of this data set.")
    given = version.classes.index(label)
    rows = Sample.objects.filter(version=version, index__in=group.indices[: revising.MOST_AT_ONCE])
    others = rows.exclude(label=given) | rows.filter(label=None)
    indices = list(others.values_list("index", flat=True))
    return revising.add_edit(version, user, action=Edit.Action.RELABEL, value=label, indices=indices)


def _leave_out(version: DatasetVersion, user: User, indices: list[int]) -> Edit:
    """Leave out what is not left out already: an act that changes nothing is none."""
    indices = sorted(set(indices) - revising.pending(version, user).excluded)
    if not indices:
        raise RefusedError("There is nothing more to leave out here.")
    return revising.add_edit(version, user, action=Edit.Action.EXCLUDE, value="", indices=indices)
