"""Signing in and out, one's own account, and what administrators do with those of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from webapp.accounts import services, throttling
from webapp.accounts.models import SignInAttempt, User
from webapp.datasets.models import Dataset
from webapp.errors import RefusedError

PASSWORD = "a long pass phrase"
pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]


@dataclass
class Try:
    """A try to sign in: the browser it was made in, and the answer."""

    client: Client
    status: int
    text: str
    goal: str


def try_to_sign_in(name: str, password: str, address: str = "10.0.0.1", **more: str) -> Try:
    client = Client(REMOTE_ADDR=address)
    answer = client.post(reverse("accounts:sign_in"), {"username": name, "password": password, **more})
    return Try(client, answer.status_code, answer.content.decode(), answer.headers.get("Location", ""))


def is_signed_in(client: Client) -> bool:
    return client.get(reverse("accounts:account")).status_code == 200


# --- in and out ------------------------------------------------------------------------------------


def test_name_and_password_sign_in_and_a_post_signs_out(editor: User) -> None:
    client = try_to_sign_in("edith", PASSWORD).client
    assert is_signed_in(client)
    assert client.get(reverse("accounts:sign_out")).status_code == 405
    assert is_signed_in(client)
    client.post(reverse("accounts:sign_out"))
    assert not is_signed_in(client)


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(editor: User) -> None:
    wrong, unknown = try_to_sign_in("edith", "guess"), try_to_sign_in("nobody", "guess")
    assert not is_signed_in(wrong.client)
    for answer in (wrong, unknown):
        assert answer.status == 200
        assert "The user name or the password is not right." in answer.text


def test_a_stranger_is_led_to_the_sign_in_page_and_back_to_where_they_wanted_to_go(editor: User) -> None:
    client = Client()
    sent = client.get(reverse("accounts:account"))
    assert sent.headers["Location"] == f"{reverse('accounts:sign_in')}?next={reverse('accounts:account')}"
    page = client.get(sent.headers["Location"]).content.decode()
    assert f'name="next" value="{reverse("accounts:account")}"' in page
    assert try_to_sign_in("edith", PASSWORD, next=reverse("accounts:account")).goal == reverse(
        "accounts:account"
    )


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_signing_in_never_leads_to_another_site(editor: User, elsewhere: str) -> None:
    assert try_to_sign_in("edith", PASSWORD, next=elsewhere).goal == reverse("home")


def test_a_page_whose_session_ended_goes_to_sign_in_as_a_whole(editor: User) -> None:
    asked = {"HX-Request": "true", "HX-Current-URL": "http://testserver/experiments/runs/3/?view=log"}
    answer = Client().get("/activity", headers=asked, follow=True)
    assert answer.content == b""
    goal = answer.headers["HX-Redirect"]
    assert goal == f"{reverse('accounts:sign_in')}?next=%2Fexperiments%2Fruns%2F3%2F%3Fview%3Dlog"
    assert 'name="next" value="/experiments/runs/3/?view=log"' in Client().get(goal).text


def test_a_closed_account_cannot_sign_in(editor: User) -> None:
    services.deactivate(editor)
    assert not is_signed_in(try_to_sign_in("edith", PASSWORD).client)


# --- guessing --------------------------------------------------------------------------------------


def test_after_five_wrong_guesses_even_the_right_password_has_to_wait(editor: User) -> None:
    for _ in range(throttling.MOST_OF_BOTH):
        assert try_to_sign_in("edith", "guess").status == 200
    late = try_to_sign_in("Edith ", PASSWORD)
    assert late.status == 429
    assert "Too many tries. Wait 15 minutes" in late.text
    assert not is_signed_in(late.client)


def test_guessing_elsewhere_does_not_lock_somebody_out(editor: User) -> None:
    for _ in range(throttling.MOST_OF_BOTH + 3):
        try_to_sign_in("edith", "guess", address="10.9.9.9")
    assert is_signed_in(try_to_sign_in("edith", PASSWORD, address="10.0.0.1").client)


def test_guessing_one_name_from_many_addresses_is_stopped(editor: User) -> None:
    statuses = [
        try_to_sign_in("edith", "guess", address=f"10.1.{n}.1").status
        for n in range(throttling.MOST_OF_NAME + 1)
    ]
    assert statuses.index(429) == throttling.MOST_OF_NAME


def test_guessing_many_names_from_one_address_is_stopped() -> None:
    statuses = [try_to_sign_in(f"user{n}", "guess").status for n in range(throttling.MOST_OF_PLACE + 1)]
    assert statuses.index(429) == throttling.MOST_OF_PLACE


def test_refused_tries_do_not_lengthen_the_wait(editor: User) -> None:
    for _ in range(throttling.MOST_OF_BOTH + 10):
        try_to_sign_in("edith", "guess")
    SignInAttempt.objects.update(at=timezone.now() - throttling.WINDOW - timedelta(seconds=1))
    assert is_signed_in(try_to_sign_in("edith", PASSWORD).client)


def test_signing_in_forgets_the_wrong_guesses_before(editor: User) -> None:
    for _ in range(2):
        for _ in range(throttling.MOST_OF_BOTH - 1):
            try_to_sign_in("edith", "typo")
        assert is_signed_in(try_to_sign_in("edith", PASSWORD).client)


def test_what_was_typed_is_not_stored() -> None:
    try_to_sign_in("a password in the wrong field", "guess")
    row = SignInAttempt.objects.get()
    assert "password" not in f"{row.who} {row.where}"
    assert "10.0.0.1" not in row.where


# --- one's own account -------------------------------------------------------------------------------


def test_name_and_address_can_be_changed(editor: User, client_of: ClientOf) -> None:
    client_of(editor).post(reverse("accounts:account"), {"name": "Edith Öz", "email": "e@lab.example"})
    editor.refresh_from_db()
    assert (str(editor), editor.email, editor.role) == ("Edith Öz", "e@lab.example", "editor")


def test_a_changed_password_ends_the_other_sessions_but_not_this_one(editor: User) -> None:
    here, elsewhere = (try_to_sign_in("edith", PASSWORD).client for _ in range(2))
    new = "another long phrase"
    here.post(reverse("accounts:change_password"), {"present": PASSWORD, "password": new, "again": new})
    assert is_signed_in(here)
    assert not is_signed_in(elsewhere)
    assert is_signed_in(try_to_sign_in("edith", new).client)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("wrong", "another long phrase", "another long phrase"), "not your present password"),
        ((PASSWORD, "another long phrase", "another long phrasf"), "The two passwords differ"),
        ((PASSWORD, "short", "short"), "too short"),
        ((PASSWORD, "password123", "password123"), "too common"),
        ((PASSWORD, "edith2026", "edith2026"), "too similar to the username"),
    ],
)
def test_a_password_is_not_changed_for_a_bad_one(
    editor: User, client_of: ClientOf, typed: tuple[str, str, str], says: str
) -> None:
    data = dict(zip(("present", "password", "again"), typed, strict=True))
    answer = client_of(editor).post(reverse("accounts:change_password"), data)
    assert says in answer.content.decode()
    editor.refresh_from_db()
    assert editor.check_password(PASSWORD)


# --- those of others ---------------------------------------------------------------------------------


def test_an_administrator_gives_another_role(administrator: User, viewer: User, client_of: ClientOf) -> None:
    client_of(administrator).post(reverse("accounts:change_role", args=[viewer.pk]), {"role": "editor"})
    viewer.refresh_from_db()
    assert viewer.is_editor
    client_of(administrator).post(reverse("accounts:change_role", args=[viewer.pk]), {"role": "emperor"})
    viewer.refresh_from_db()
    assert viewer.role == "editor"


def test_the_last_administrator_can_neither_leave_nor_step_down(
    administrator: User, editor: User, client_of: ClientOf
) -> None:
    client = client_of(administrator)
    for name, data in (("change_role", {"role": "viewer"}), ("deactivate", {})):
        answer = client.post(reverse(f"accounts:{name}", args=[administrator.pk]), data, follow=True)
        assert "is the last administrator" in answer.content.decode()
    administrator.refresh_from_db()
    assert administrator.is_administrator

    services.change_role(editor, "administrator")
    services.change_role(administrator, "viewer")
    with pytest.raises(RefusedError):
        services.deactivate(User.objects.get(pk=editor.pk))


def test_a_closed_administrator_does_not_count_as_one(administrator: User, editor: User) -> None:
    services.change_role(editor, "administrator")
    services.deactivate(User.objects.get(pk=editor.pk))
    with pytest.raises(RefusedError):
        services.change_role(administrator, "editor")


def test_closing_an_account_ends_its_session_and_keeps_what_it_owns(
    administrator: User, editor: User, client_of: ClientOf
) -> None:
    dataset = Dataset.objects.create(owner=editor, name="Faces")
    theirs = client_of(editor)
    assert is_signed_in(theirs)
    link = services.make_sign_in_link(editor)
    client_of(administrator).post(reverse("accounts:deactivate", args=[editor.pk]))
    assert not is_signed_in(theirs)
    assert Client().get(link).status_code == 410
    dataset.refresh_from_db()
    assert dataset.owner == editor

    client_of(administrator).post(reverse("accounts:activate", args=[editor.pk]))
    assert is_signed_in(try_to_sign_in("edith", PASSWORD).client)


def test_every_page_forbids_scripts_that_are_not_files_of_ours(editor: User, client_of: ClientOf) -> None:
    for response in (client_of(editor).get(reverse("home")), Client().get(reverse("accounts:sign_in"))):
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "script-src" not in policy  # so default-src holds for scripts: no inline, no eval
        assert response.headers["X-Frame-Options"] == "DENY"
    assert settings.SESSION_COOKIE_HTTPONLY
