"""The link that is printed when the program starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from webapp.accounts import services
from webapp.accounts.models import SignInLink, User

pytestmark = pytest.mark.django_db
NEW = {"username": "ada", "name": "Ada", "password": "a long pass phrase", "again": "a long pass phrase"}


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("sign_in_link", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_prints_one_line_and_makes_the_first_administrator() -> None:
    output = printed()
    assert output.count("\n") == 1
    assert output.startswith("/sign-in/link/")
    user = User.objects.get()
    assert user.is_administrator
    assert not user.has_usable_password()
    printed()
    assert User.objects.count() == 1


def test_whoever_comes_by_the_first_link_is_asked_to_create_a_password() -> None:
    client = Client()
    assert client.get(printed().strip(), follow=True).redirect_chain == [(reverse("accounts:welcome"), 302)]
    assert client.post(reverse("accounts:welcome"), NEW).headers["Location"] == reverse("home")
    assert client.get(reverse("home")).status_code == 200  # the session outlives the change

    again = Client()
    again.post(reverse("accounts:sign_in"), {"username": "ada", "password": NEW["password"]})
    assert again.get(reverse("home")).status_code == 200
    assert again.get(reverse("accounts:welcome")).headers["Location"] == reverse("home")


def test_in_the_server_mode_the_link_is_whole(settings: Any) -> None:
    settings.EMBEDDED = False
    assert printed().startswith("/sign-in/link/")
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example", "https://lab.example"]
    assert printed().startswith("/sign-in/link/")
    settings.CSRF_TRUSTED_ORIGINS = ["https://lab.example"]
    assert printed().startswith("https://lab.example/sign-in/link/")


def test_a_link_works_once() -> None:
    path = printed().strip()
    assert Client().get(path).status_code == 302
    second = Client()
    answer = second.get(path)
    assert answer.status_code == 410
    assert "no longer works" in answer.content.decode()
    assert second.get(reverse("home")).status_code == 302


def test_opening_the_used_link_again_in_the_same_browser_leads_home() -> None:
    path, client = printed().strip(), Client()
    client.get(path)
    assert client.get(path).headers["Location"] == reverse("home")


def test_a_link_ends_after_twelve_hours_and_with_the_next_one() -> None:
    first = printed().strip()
    second = printed().strip()
    assert Client().get(first).status_code == 410
    SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().get(second).status_code == 410


def test_only_a_hash_of_the_token_is_stored() -> None:
    token = printed().strip().rsplit("/", 1)[-1]
    row = SignInLink.objects.get()
    assert len(token) >= 43  # 256 bits
    assert token not in [str(value) for value in vars(row).values()]


def test_a_guessed_token_signs_nobody_in() -> None:
    printed()
    assert Client().get(reverse("accounts:use_link", args=["x" * 43])).status_code == 410


@pytest.mark.django_db(transaction=True)
def test_two_browsers_with_the_same_link_at_once_do_not_both_get_in() -> None:
    token = services.make_sign_in_link(services.first_administrator()).rsplit("/", 1)[-1]
    together, found = threading.Barrier(4), []

    def use() -> None:
        together.wait()
        found.append(services.use_sign_in_link(token))
        connection.close()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([user for user in found if user is not None]) == 1


def test_a_link_can_be_made_for_somebody_by_name(editor: User) -> None:
    client = Client()
    client.get(printed("--user", "edith").strip())
    assert client.get(reverse("accounts:account")).context["user"] == editor
    with pytest.raises(CommandError, match="no active account 'nobody'"):
        printed("--user", "nobody")


def test_an_administrators_link_for_a_forgotten_password_asks_for_a_new_one(
    administrator: User, editor: User, client_of: Callable[[User], Client]
) -> None:
    old_session = client_of(editor)
    page = client_of(administrator).post(reverse("accounts:make_link", args=[editor.pk]))
    url = page.context["link"]
    assert url in page.content.decode()

    client = Client()
    assert client.get(url).headers["Location"] == reverse("accounts:welcome")
    assert old_session.get(reverse("home")).status_code == 302
    client.post(reverse("accounts:welcome"), NEW | {"username": "edith"})
    editor.refresh_from_db()
    assert editor.check_password(NEW["password"])
    assert client.get(reverse("home")).status_code == 200


def test_a_taken_user_name_is_refused_whatever_its_case(editor: User) -> None:
    client = Client()
    client.get(printed().strip())
    answer = client.post(reverse("accounts:welcome"), NEW | {"username": "EDITH"})
    assert "Somebody else has this user name." in answer.content.decode()
