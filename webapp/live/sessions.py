"""Whether somebody is still signed in: a socket lives on where the next page would ask to sign in."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.utils.crypto import constant_time_compare

from webapp.accounts.models import User


def user_of(scope: dict[str, Any]) -> User | None:
    """The account that a socket's session is signed in to, read anew; none where that has ended.

    The scope holds the session and the account as they were when the socket was opened. Since then they
    may have signed out, changed the password (which ends all other sessions), or been closed.
    """
    key = scope["session"].session_key
    user = User.objects.filter(pk=scope["user"].pk, is_active=True).first()
    if not key or user is None:
        return None
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    is_theirs = session.get(SESSION_KEY) == str(user.pk) and constant_time_compare(
        session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()
    )
    return user if is_theirs else None
