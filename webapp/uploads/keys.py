"""Upload keys: how programs without a browser's session send files in somebody's name."""

from __future__ import annotations

from django.utils import timezone

from webapp.accounts import tokens
from webapp.accounts.models import User
from webapp.uploads.models import UploadKey


def make(owner: User) -> str:
    """A new key in place of the one before, which ends. It is told this once."""
    key, token_hash = tokens.fresh()
    fresh = {"token_hash": token_hash, "made_at": timezone.now(), "used_at": None}
    UploadKey.objects.update_or_create(owner=owner, defaults=fresh)
    return key


def revoke(owner: User) -> bool:
    """End somebody's key. True if there was one."""
    return bool(UploadKey.objects.filter(owner=owner).delete()[0])


def of(owner: User) -> UploadKey | None:
    """Somebody's key, which says when it was made and used and not what it is."""
    return UploadKey.objects.filter(owner=owner).first()


def owner_of(key: str) -> User | None:
    """Whose key this is; None where it is nobody's, or of somebody who may no longer sign in."""
    row = UploadKey.objects.filter(token_hash=tokens.hash_of(key)).select_related("owner").first()
    return row.owner if row is not None and row.owner.is_active else None


def note_use(owner: User) -> None:
    """Somebody's key began an upload."""
    UploadKey.objects.filter(owner=owner).update(used_at=timezone.now())
