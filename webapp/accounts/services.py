"""Everything that changes accounts, invitations and sign-in links."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from webapp.accounts import tokens
from webapp.accounts.models import Invitation, SignInLink, User
from webapp.errors import RefusedError

SIGN_IN_LINK_LIFE = timedelta(hours=12)
INVITATION_LIFE = timedelta(days=7)
FIRST_ADMINISTRATOR = "admin"


# --- sign-in links ---------------------------------------------------------------------------------


def first_administrator() -> User:
    """The longest-standing active administrator; made, without a password, where there is none."""
    with transaction.atomic():
        found = User.objects.filter(role=User.Role.ADMINISTRATOR, is_active=True).order_by("pk").first()
        if found is not None:
            return found
        name, number = FIRST_ADMINISTRATOR, 1
        while User.objects.filter(username__iexact=name).exists():
            number += 1
            name = f"{FIRST_ADMINISTRATOR}{number}"
        user = User(username=name, role=User.Role.ADMINISTRATOR)
        user.set_unusable_password()
        user.save()
        return user


def make_sign_in_link(user: User, *, resets_password: bool = False) -> str:
    """The path of a link that signs `user` in, once. Older unused links of the user end."""
    token, token_hash = tokens.fresh()
    with transaction.atomic():
        SignInLink.objects.filter(user=user, used_at=None).delete()
        SignInLink.objects.create(
            token_hash=token_hash,
            user=user,
            expires_at=timezone.now() + SIGN_IN_LINK_LIFE,
            resets_password=resets_password,
        )
    return reverse("accounts:use_link", args=[token])


def use_sign_in_link(token: str) -> User | None:
    """The user whom the link signs in; None when it is unknown, used, too old, or of a closed account."""
    now = timezone.now()
    with transaction.atomic():
        links = SignInLink.objects.filter(
            token_hash=tokens.hash_of(token), used_at=None, expires_at__gt=now, user__is_active=True
        )
        # one conditional UPDATE: of two browsers with the same link, one gets in
        if not links.update(used_at=now):
            return None
        link = SignInLink.objects.select_related("user").get(token_hash=tokens.hash_of(token))
        if link.resets_password:
            link.user.set_unusable_password()
            link.user.save(update_fields=["password"])
        return link.user


# --- invitations -----------------------------------------------------------------------------------


def invite(by: User, role: str, note: str = "") -> tuple[Invitation, str]:
    """An invitation and the path of its link. The link cannot be shown again later."""
    token, token_hash = tokens.fresh()
    invitation = Invitation.objects.create(
        token_hash=token_hash,
        email=note,
        role=role,
        invited_by=by,
        expires_at=timezone.now() + INVITATION_LIFE,
    )
    return invitation, reverse("accounts:accept", args=[token])


def accept(token: str, *, username: str, name: str, password: str) -> User:
    """The account that an invitation makes. Raises RefusedError when the invitation has ended meanwhile."""
    with transaction.atomic():
        invitation = (
            Invitation.objects.select_for_update(of=("self",))
            .filter(token_hash=tokens.hash_of(token), accepted_by=None, expires_at__gt=timezone.now())
            .first()
        )
        if invitation is None or not invitation.invited_by.is_administrator:
            raise RefusedError("This invitation has been used or has ended. Ask for a new one.")
        user = User(username=username, first_name=name, email=invitation.email, role=invitation.role)
        user.set_password(password)
        user.save()
        invitation.accepted_by = user
        invitation.save(update_fields=["accepted_by"])
        return user


def revoke(invitation: Invitation) -> None:
    """End an invitation that nobody has accepted."""
    Invitation.objects.filter(pk=invitation.pk, accepted_by=None).delete()


# --- accounts --------------------------------------------------------------------------------------


def set_up(user: User, *, username: str, name: str, password: str) -> None:
    """The first names and password of somebody who came by a link."""
    user.username = username
    user.first_name = name
    user.set_password(password)
    user.save(update_fields=["username", "first_name", "password"])


def rename(user: User, *, name: str, email: str) -> None:
    """Change how somebody is shown."""
    user.first_name, user.last_name, user.email = name, "", email
    user.save(update_fields=["first_name", "last_name", "email"])


def change_role(user: User, role: str) -> None:
    """Give another role. Raises RefusedError for the last administrator."""
    with transaction.atomic():
        if role != User.Role.ADMINISTRATOR:
            _keep_an_administrator(user)
        User.objects.filter(pk=user.pk).update(role=role)


def deactivate(user: User) -> None:
    """Close an account: its sessions and links end at once, what it owns stays.

    Raises RefusedError for the last administrator.
    """
    with transaction.atomic():
        _keep_an_administrator(user)
        User.objects.filter(pk=user.pk).update(is_active=False)
        SignInLink.objects.filter(user=user, used_at=None).delete()
        Invitation.objects.filter(invited_by=user, accepted_by=None).delete()


def activate(user: User) -> None:
    """Open a closed account again."""
    User.objects.filter(pk=user.pk).update(is_active=True)


def _keep_an_administrator(leaving: User) -> None:
    """Raises RefusedError if nobody else could administer. Locks, so that two cannot leave at once."""
    active = User.objects.select_for_update().filter(role=User.Role.ADMINISTRATOR, is_active=True)
    keys = set(active.values_list("pk", flat=True))
    if keys == {leaving.pk}:
        raise RefusedError(f"{leaving} is the last administrator. Make somebody else an administrator first.")
