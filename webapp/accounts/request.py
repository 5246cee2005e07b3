"""The signed-in visitor of a request, with its type."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from webapp.accounts.models import User


def user_of(request: HttpRequest) -> User:
    """Who asks. The sign-in middleware has already turned away strangers."""
    if not isinstance(request.user, User):
        raise PermissionDenied("Sign in first.")
    return request.user
