"""What open pages do when their session ends behind their back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Furnished, wait_listening

pytestmark = pytest.mark.browser

SIGN_IN = """
from django.test import Client
from webapp.accounts.models import User
client = Client()
client.force_login(User.objects.get(username="ada"))
print(client.cookies["mmfrm_session"].value)
"""
END = """
from django.contrib.sessions.models import Session
Session.objects.filter(pk="{session}").delete()
"""


def sign_in(page: Page, furnished: Furnished) -> str:
    """A session of this test's own, to be ended; others use the one that is shared."""
    session = furnished.product.query(SIGN_IN).strip().splitlines()[-1]
    page.context.add_cookies([{"name": "mmfrm_session", "value": session, "url": furnished.url}])
    return session


def sockets_of(page: Page) -> list[str]:
    """The addresses of sockets that hear something, each once, as they come."""
    heard: list[str] = []
    page.on("websocket", lambda socket: socket.once("framereceived", lambda _: heard.append(socket.url)))
    return heard


def wait_for_the_list(page: Page, heard: list[str]) -> None:
    """Until the socket of the page's list has heard something."""
    wait_listening(page, lambda: any(url.endswith("/ws/jobs/") for url in heard), "the list has heard")


def test_a_list_leads_to_sign_in_and_tries_no_more(page: Page, furnished: Furnished) -> None:
    session, tried = sign_in(page, furnished), list[str]()
    page.on("websocket", lambda socket: tried.append(socket.url))
    heard = sockets_of(page)

    def sockets() -> int:
        return len([url for url in tried if url.endswith("/ws/jobs/")])

    def fetch(route: Route) -> None:
        # The list fetches itself now and then as well. Where that comes first, it leads to sign in before the
        # socket, which is looked at here, has heard of the end.
        if sockets() < 2:
            route.fulfill(status=204)
        else:
            route.continue_()

    page.route("**/jobs/queue/", fetch)
    page.goto(f"{furnished.url}/jobs/")
    wait_for_the_list(page, heard)
    furnished.product.query(END.format(session=session))
    expect(page).to_have_url(re.compile(r"/sign-in.*next=/jobs/|/sign-in.*next=%2Fjobs%2F"))
    assert sockets() == 2


def test_a_page_hears_on_with_the_session_of_a_new_password(page: Page, furnished: Furnished) -> None:
    first = sign_in(page, furnished)
    heard = sockets_of(page)
    page.goto(f"{furnished.url}/jobs/")
    wait_for_the_list(page, heard)
    heard.clear()
    sign_in(page, furnished)
    furnished.product.query(END.format(session=first))
    wait_for_the_list(page, heard)
    expect(page).to_have_url(f"{furnished.url}/jobs/")
