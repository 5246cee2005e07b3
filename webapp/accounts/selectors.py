"""What pages read of accounts."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone

from webapp.accounts import tokens
from webapp.accounts.models import Invitation, SignInLink, User


def people() -> QuerySet[User]:
    """Everybody: open accounts first, by name."""
    return User.objects.order_by("-is_active", "first_name", "username")


def open_invitations() -> QuerySet[Invitation]:
    """Neither accepted nor ended."""
    return (
        Invitation.objects.filter(accepted_by=None, expires_at__gt=timezone.now())
        .select_related("invited_by")
        .order_by("-created_at")
    )


def open_invitation(token: str) -> Invitation | None:
    """The invitation of a link, while it can be accepted."""
    found = open_invitations().filter(token_hash=tokens.hash_of(token)).first()
    return found if found and found.invited_by.is_administrator else None


def is_link_open(token: str) -> bool:
    """Whether a sign-in link still works."""
    return SignInLink.objects.filter(
        token_hash=tokens.hash_of(token), used_at=None, expires_at__gt=timezone.now()
    ).exists()
