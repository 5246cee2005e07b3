"""manage.py sign_in_link: a link that signs an administrator in, once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from webapp.accounts import services
from webapp.accounts.models import User


class Command(BaseCommand):
    help = "Print a link that signs somebody in once; makes the first administrator if need be."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", help="whom to sign in (default: the first administrator)")

    def handle(self, *args: Any, **options: Any) -> None:
        username = options["user"]
        if username is None:
            user = services.first_administrator()
        else:
            found = User.objects.filter(username=username, is_active=True).first()
            if found is None:
                raise CommandError(f"There is no active account {username!r}.")
            user = found
        self.stdout.write(_origin() + services.make_sign_in_link(user))


def _origin() -> str:
    """Where people reach the server mode, as far as its settings say so; "" leaves a path."""
    first = next(iter(settings.CSRF_TRUSTED_ORIGINS), "*")
    return "" if settings.EMBEDDED or "*" in first else first
