"""Who may do what: decided here and nowhere else."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import Http404

from webapp.accounts.models import Owned, User

M = TypeVar("M", bound=Owned)
Part = TypeVar("Part", bound=Model)  # of something owned, or the owned thing itself
Anyone = User | AnonymousUser


def visible(queryset: QuerySet[Part], user: Anyone, path: str = "") -> QuerySet[Part]:
    """The rows somebody may see. `path` leads to the owned row: "dataset__" for versions of data sets."""
    if not isinstance(user, User) or not user.is_active:
        return queryset.none()
    if user.is_administrator:
        return queryset
    return queryset.filter(Q(**{f"{path}private": False}) | Q(**{f"{path}owner": user}))


def may_view(user: Anyone, obj: Owned) -> bool:
    """Everybody of the lab, unless the object is private."""
    if not isinstance(user, User) or not user.is_active:
        return False
    return user.is_administrator or not obj.private or obj.owner_id == user.pk


def may_create(user: Anyone) -> bool:
    """Editors and administrators."""
    return isinstance(user, User) and user.is_editor


def may_edit(user: Anyone, obj: Owned) -> bool:
    """The owner while still an editor, and administrators. Also steering and deleting."""
    return isinstance(user, User) and user.is_editor and (user.is_administrator or obj.owner_id == user.pk)


def may_label(user: Anyone, obj: Owned) -> bool:
    """Correct labels: every editor who sees the object, since reviewing is shared work."""
    return may_create(user) and may_view(user, obj)


def may_administer(user: Anyone) -> bool:
    """Accounts and the machine."""
    return isinstance(user, User) and user.is_administrator


def get_visible(queryset: QuerySet[M], user: Anyone, **lookup: Any) -> M:
    """One row that somebody may see; 404 otherwise, so that nobody learns what exists."""
    row = queryset.filter(**lookup).first()
    if row is None or not may_view(user, row):
        raise Http404
    return row


def get_editable(queryset: QuerySet[M], user: Anyone, **lookup: Any) -> M:
    """One row that somebody may change; 404 where it is not seen, 403 where it is only seen."""
    row = get_visible(queryset, user, **lookup)
    if not may_edit(user, row):
        raise PermissionDenied(f"Only {row.owner} or an administrator may change this.")
    return row


def require(allowed: bool, why: str = "Your role does not allow this.") -> None:
    """403 with a reason unless allowed."""
    if not allowed:
        raise PermissionDenied(why)
