"""Links that make accounts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from webapp.accounts import services
from webapp.accounts.models import Invitation, User
from webapp.errors import RefusedError

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
NEW = {"username": "grace", "name": "Grace", "password": "a long pass phrase", "again": "a long pass phrase"}


def invited(by: Client, role: str = "editor", email: str = "") -> str:
    """The address that the administrator copies."""
    page = by.post(reverse("accounts:invite"), {"role": role, "email": email})
    link: str = page.context["link"]
    assert link in page.content.decode()
    return link


@pytest.mark.parametrize("role", ["viewer", "editor", "administrator"])
def test_an_invitation_makes_an_account_of_the_chosen_role(
    administrator: User, client_of: ClientOf, role: str
) -> None:
    link, guest = invited(client_of(administrator), role, "grace@lab.example"), Client()
    assert f"invited you as {role}" in guest.get(link).content.decode()
    assert guest.post(link, NEW).headers["Location"] == reverse("home")
    user = guest.get(reverse("home")).context["user"]
    assert (user.username, user.role, user.email) == ("grace", role, "grace@lab.example")
    assert user.invitation.invited_by == administrator


def test_an_invitation_works_once(administrator: User, client_of: ClientOf) -> None:
    link = invited(client_of(administrator))
    Client().post(link, NEW)
    late = Client()
    assert late.get(link).status_code == 410
    assert late.post(link, NEW | {"username": "other"}).status_code == 410
    assert not User.objects.filter(username="other").exists()


def test_a_form_filled_in_while_the_invitation_is_used_elsewhere_makes_no_account(
    administrator: User, client_of: ClientOf
) -> None:
    token = invited(client_of(administrator)).rsplit("/", 1)[-1]
    services.accept(token, username="first", name="", password="a long pass phrase")
    with pytest.raises(RefusedError):
        services.accept(token, username="second", name="", password="a long pass phrase")
    assert not User.objects.filter(username="second").exists()


def test_an_invitation_ends_after_seven_days(administrator: User, client_of: ClientOf) -> None:
    link = invited(client_of(administrator))
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().get(link).status_code == 410


def test_an_invitation_can_be_taken_back(administrator: User, client_of: ClientOf) -> None:
    client = client_of(administrator)
    link = invited(client)
    client.post(reverse("accounts:revoke", args=[Invitation.objects.get().pk]))
    assert Client().get(link).status_code == 410


def test_taking_back_an_accepted_invitation_changes_nothing(administrator: User, client_of: ClientOf) -> None:
    client = client_of(administrator)
    Client().post(invited(client), NEW)
    client.post(reverse("accounts:revoke", args=[Invitation.objects.get().pk]))
    assert User.objects.get(username="grace").invitation.invited_by == administrator


def test_invitations_end_when_whoever_made_them_no_longer_administers(
    administrator: User, editor: User, client_of: ClientOf
) -> None:
    link = invited(client_of(administrator), "administrator")
    services.change_role(editor, "administrator")
    services.change_role(administrator, "viewer")
    assert Client().get(link).status_code == 410
    with pytest.raises(RefusedError):
        services.accept(link.rsplit("/", 1)[-1], username="grace", name="", password="a long pass phrase")


def test_somebody_signed_in_is_not_turned_into_somebody_else(
    administrator: User, editor: User, client_of: ClientOf
) -> None:
    link, theirs = invited(client_of(administrator)), client_of(editor)
    assert "signed in already" in theirs.get(link).content.decode()
    theirs.post(link, NEW)
    assert not User.objects.filter(username="grace").exists()
    assert Client().get(link).status_code == 200  # still open for whom it was meant


def test_the_link_is_shown_once_and_only_its_hash_is_stored(administrator: User, client_of: ClientOf) -> None:
    client = client_of(administrator)
    token = invited(client).rsplit("/", 1)[-1]
    assert token not in client.get(reverse("accounts:people")).content.decode()
    assert token not in [str(value) for value in vars(Invitation.objects.get()).values()]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"again": "another pass phrase"}, "The two passwords differ."),
        ({"password": "12345678", "again": "12345678"}, "too common"),
        ({"username": "ADA"}, "Somebody else has this user name."),
        ({"username": "with space"}, "Enter a valid username"),
        ({"username": ""}, "This field is required."),
    ],
)
def test_mistakes_in_the_form_are_said_and_the_invitation_stays_open(
    administrator: User, client_of: ClientOf, change: dict[str, str], says: str
) -> None:
    link, guest = invited(client_of(administrator)), Client()
    assert says in guest.post(link, NEW | change).content.decode()
    assert guest.post(link, NEW).status_code == 302
