"""Slows down guessing of passwords, whatever the number of web processes: tries are rows."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from webapp.accounts.models import SignInAttempt

WINDOW = timedelta(minutes=15)
MOST_OF_BOTH = 5  # of one name from one address
MOST_OF_NAME = 50  # of one name from anywhere: many addresses guess together
MOST_OF_PLACE = 50  # from one address, whatever the names: a whole lab may share it


class TooManyAttemptsError(Exception):
    """Wait before the next try. The argument is the number of minutes."""


def begin(username: str, address: str) -> SignInAttempt:
    """Note a try before its password is looked at, so that parallel tries count each other.

    Raises TooManyAttemptsError, and then forgets this try: whoever waits long enough always gets in.
    """
    SignInAttempt.objects.filter(at__lt=timezone.now() - WINDOW).delete()
    attempt = SignInAttempt.objects.create(
        who=_hash("who", username.strip().lower()), where=_hash("where", address)
    )
    if _is_too_many(attempt):
        attempt.delete()
        raise TooManyAttemptsError(int(WINDOW.total_seconds() // 60))
    return attempt


def succeeded(attempt: SignInAttempt) -> None:
    """Forget the tries of this name from this address."""
    SignInAttempt.objects.filter(who=attempt.who, where=attempt.where).delete()


def _is_too_many(attempt: SignInAttempt) -> bool:
    recent = SignInAttempt.objects.filter(Q(who=attempt.who) | Q(where=attempt.where))
    pairs = list(recent.values_list("who", "where"))
    of_name = sum(who == attempt.who for who, _ in pairs)
    of_place = sum(where == attempt.where for _, where in pairs)
    of_both = sum(pair == (attempt.who, attempt.where) for pair in pairs)
    return of_both > MOST_OF_BOTH or of_name > MOST_OF_NAME or of_place > MOST_OF_PLACE


def _hash(salt: str, value: str) -> str:
    return salted_hmac(f"webapp.accounts.throttling.{salt}", value, algorithm="sha256").hexdigest()
