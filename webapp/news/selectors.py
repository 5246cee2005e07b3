"""What pages read of visits."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from webapp.accounts.models import User
from webapp.news.models import Look


def looked_before(user: User) -> datetime:
    """When somebody's visit before this one ended; now, for whoever is here for the first time.

    A page that fetches itself anew is no look: it does so while nobody sits before it, too.
    """
    row = Look.objects.filter(user=user).first()
    return row.before if row else timezone.now()
