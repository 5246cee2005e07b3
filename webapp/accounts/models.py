"""People, their roles, and how they come in."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """Somebody of the lab."""

    class Role(models.TextChoices):
        VIEWER = "viewer", "Viewer"
        EDITOR = "editor", "Editor"
        ADMINISTRATOR = "administrator", "Administrator"

    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)

    @property
    def is_administrator(self) -> bool:
        return self.is_active and self.role == self.Role.ADMINISTRATOR

    @property
    def is_editor(self) -> bool:
        """May make things (administrators may too)."""
        return self.is_active and self.role in (self.Role.EDITOR, self.Role.ADMINISTRATOR)

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class Invitation(models.Model):
    """A link that makes an account, once. Only the token's hash is kept."""

    token_hash = models.CharField(max_length=64, unique=True)
    email = models.EmailField(blank=True)
    role = models.CharField(max_length=16, choices=User.Role.choices, default=User.Role.EDITOR)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="invitations"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_by = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="invitation"
    )

    def __str__(self) -> str:
        return f"Invitation of {self.email or 'a colleague'} as {self.role}"


class SignInLink(models.Model):
    """A link that signs somebody in, once; printed when the embedded mode starts."""

    token_hash = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_in_links")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    resets_password = models.BooleanField(default=False)  # made for somebody who forgot it

    def __str__(self) -> str:
        return f"Sign-in link of {self.user}"


class SignInAttempt(models.Model):
    """A try to sign in that has not succeeded. Counted to slow down guessing; forgotten after a while."""

    who = models.CharField(max_length=64)  # keyed hashes: people type passwords into the wrong field
    where = models.CharField(max_length=64)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["who", "at"]), models.Index(fields=["where", "at"])]

    def __str__(self) -> str:
        return f"Sign-in attempt at {self.at}"


class Owned(models.Model):
    """Anything that belongs to somebody. The whole lab sees it unless it is private."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    private = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        abstract = True
