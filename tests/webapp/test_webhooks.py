"""Webhooks: signed, tried again, to no forbidden place, of nothing that their owner may not see."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from mmfrm.events import Failed, Finished
from tests.synthetic_runs import Story, play, queued_run, ready_version
from tests.webapp.own_certificate import PEM
from webapp.accounts.models import User
from webapp.experiments.models import Experiment, Run
from webapp.jobs import endings
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.news import sending, services
from webapp.news.models import Delivery, Webhook

ClientOf = Callable[[User], Client]
LOCAL = ["127.0.0.1/32"]


class Receiver(HTTPServer):
    """A program that is told things; it answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.heard: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/told?by=lab"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://169.254.169.254/")
        self.end_headers()
        self.wfile.write(b"so be it")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.WEBHOOK_NETWORKS = LOCAL
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def webhook(editor: User, receiver: Receiver) -> Webhook:
    return services.create_webhook(editor, base_url="https://lab.example/", name="Chat", url=receiver.url)


def ended(owner: User, *, last: Any = None, private: bool = False, name: str = "first") -> Run:
    """A run that has come to its end; private from the beginning, where asked for."""
    run = queued_run(owner, ready_version(owner, name=f"data of {name}"), name=name)
    for kind in (Run, Experiment):
        kind.objects.filter(owner=owner).update(private=private)
    job = play(run, Story(epochs=2, steps=12), range(1))
    result = {"model": "/secret/path", "val": {"accuracy": 0.8, "best": "face.png"}, "epochs": 2, "ok": True}
    Job.objects.filter(pk=job.pk).update(result=result)
    jobs.end(job, last=last or Finished(), exit_status="0")
    return run


def test_a_message_is_signed_and_holds_names_states_figures_and_a_link_only(
    editor: User, receiver: Receiver, webhook: Webhook
) -> None:
    run = ended(editor)
    assert services.deliver_due() == 1
    ((path, headers, body),) = receiver.heard
    assert path == "/told?by=lab"
    signed = hmac.new(
        webhook.secret.encode(), f"{headers['X-MMFRM-Timestamp']}.".encode() + body, hashlib.sha256
    )
    assert headers["X-MMFRM-Signature"] == f"sha256={signed.hexdigest()}"
    told = json.loads(body)
    assert (told["event"], told["job"]["title"], told["job"]["state"]) == (
        "job.finished",
        "first",
        "finished",
    )
    assert told["job"]["figures"] == {"val": {"accuracy": 0.8}, "epochs": 2}
    assert told["job"]["link"] == f"https://lab.example/experiments/runs/{run.pk}/"
    assert b"secret" not in body
    assert b"face" not in body
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.status, delivery.said) == ("delivered", 200, "so be it")
    assert headers["X-MMFRM-Delivery"] == str(delivery.key)
    assert services.deliver_due() == 0


def test_what_fails_is_tried_again_ever_later_under_one_key_and_then_given_up(
    editor: User, receiver: Receiver, webhook: Webhook
) -> None:
    receiver.status = 302  # a redirect is no success, and is not followed
    ended(editor, last=Failed(message="no"))
    now = timezone.now()
    for tries, pause in enumerate((*services.PAUSES, 0), start=1):
        assert services.deliver_due(now) == 1
        assert services.deliver_due(now + timedelta(seconds=pause - 1)) == 0
        delivery = Delivery.objects.get()
        assert (delivery.tries, delivery.status) == (tries, 302)
        now += timedelta(seconds=pause)
    assert delivery.state == "failed"
    assert {headers["X-MMFRM-Delivery"] for _, headers, _ in receiver.heard} == {str(delivery.key)}
    assert len(receiver.heard) == len(services.PAUSES) + 1
    services.sweep(now + timedelta(days=31))
    assert not Delivery.objects.exists()


def test_two_postmen_never_carry_the_same_message(editor: User, receiver: Receiver, webhook: Webhook) -> None:
    delivery = services.test_webhook(webhook)
    now = timezone.now()
    seen_by_both = Delivery.objects.select_related("webhook").get(pk=delivery.pk)
    assert services._try(seen_by_both, now)
    assert not services._try(seen_by_both, now)
    assert len(receiver.heard) == 1


def test_only_what_its_owner_may_see_and_asked_for_is_told(
    editor: User, receiver: Receiver, webhook: Webhook
) -> None:
    other = User.objects.create_user("otto", password="a long pass phrase", role="editor")
    ended(other, name="of another")
    assert not Delivery.objects.exists()  # only_mine
    services.edit_webhook(webhook, only_mine=False)
    ended(other, name="hidden", private=True)
    assert not Delivery.objects.exists()
    ended(other, name="seen")
    assert [d.job.title for d in Delivery.objects.all() if d.job] == ["seen"]
    stopped = queued_run(editor, ready_version(editor, name="more"), name="stopped")
    jobs.stop(stopped.job, editor)
    assert Delivery.objects.count() == 1  # on_stopped is off
    User.objects.filter(pk=editor.pk).update(role="viewer")
    ended(other, name="later")
    assert Delivery.objects.count() == 1
    services.deliver_due()
    assert receiver.heard == []  # their role was taken away before it was sent
    assert Delivery.objects.get().state == "failed"


def test_a_listener_that_stumbles_does_not_keep_a_job_from_ending(
    editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(job: Job) -> None:
        raise RuntimeError(f"not this one: {job.pk}")

    monkeypatch.setattr(endings, "_listeners", [stumble])
    assert Job.objects.get(pk=ended(editor).job_id).state == "finished"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.8", "192.168.1.1", "169.254.169.254", "0.1.2.3", "[::1]", "[fe80::1]", "[fc00::1]",
     "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "100.64.0.1", "2130706433",
     "localhost"],
)  # fmt: skip
def test_the_machine_itself_and_private_networks_are_refused_in_every_spelling(address: str) -> None:
    with pytest.raises(sending.ForbiddenError):
        sending.addresses_of(f"http://{address}:6379/")


def test_a_network_that_is_allowed_is_no_more_than_that(settings: Settings) -> None:
    settings.WEBHOOK_NETWORKS = ["10.1.0.0/16"]
    assert sending.addresses_of("https://10.1.2.3/") == ["10.1.2.3"]
    assert sending.addresses_of("https://93.184.216.34/") == ["93.184.216.34"]
    assert sending.addresses_of("http://10.1.2.3/") == ["10.1.2.3"]
    for elsewhere in ("https://10.2.0.1/", "http://93.184.216.34/"):  # in the open only within the lab
        with pytest.raises(sending.ForbiddenError):
            sending.addresses_of(elsewhere)


def test_a_name_that_leads_elsewhere_by_now_is_refused_when_it_is_sent(
    receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_NETWORKS = []
    there = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.server_port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: there)
    answer = sending.send("http://rebound.example/", secret="s", event="test", key="k", body=b"{}")
    assert answer.status is None
    assert "not a public address" in answer.said
    assert receiver.heard == []


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """For a receiver at 127.0.0.1 whose certificate is trusted as long as the test lasts."""
    pem = tmp_path / "own.pem"
    pem.write_text(PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_a_message_goes_over_tls_to_who_proves_its_name(
    receiver: Receiver, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.socket = tls.wrap_socket(receiver.socket, server_side=True)
    url = receiver.url.replace("http:", "https:")
    assert sending.send(url, secret="s", event="test", key="k", body=b"{}").is_good
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "certificate" in sending.send(url, secret="s", event="test", key="k", body=b"{}").said
    assert len(receiver.heard) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_never_ends_its_answer_is_cut_off(
    scheme: str, tls: ssl.SSLContext, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_NETWORKS = LOCAL
    monkeypatch.setattr(sending, "LONGEST", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            stream, _ = server.accept()
            if scheme == "https":
                stream = tls.wrap_socket(stream, server_side=True)
            with stream:
                end = time.monotonic() + 60
                while not over.wait(0.1) and time.monotonic() < end:
                    try:
                        stream.sendall(b"H")
                    except OSError:
                        return

        over = threading.Event()
        threading.Thread(target=drip, daemon=True).start()
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/"
        answer = sending.send(url, secret="s", event="test", key="k", body=b"{}")
        over.set()
    assert answer.status is None
    assert "too long" in answer.said
    assert answer.seconds < 15  # which it would take where nothing is patched


def test_the_pages_from_the_form_to_the_log(editor: User, receiver: Receiver, client_of: ClientOf) -> None:
    client, index = client_of(editor), reverse("news:webhooks")
    form = {"name": "Chat", "url": "http://10.0.0.1/", "on_finished": "on", "is_on": "on"}
    assert b"not a public address" in client.post(index, form).content
    assert b"Choose at least one" in client.post(index, form | {"on_finished": ""}).content
    assert b"messages are signed" in client.post(index, form | {"url": "http://a:b@127.0.0.1/"}).content
    assert not Webhook.objects.exists()
    made = client.post(index, form | {"url": receiver.url})
    row = Webhook.objects.get()
    assert row.secret.encode() in client.get(made["Location"]).content
    assert row.secret.encode() not in client.get(made["Location"]).content  # shown once
    client.post(reverse("news:test_webhook", args=[row.pk]))
    log = reverse("news:deliveries", args=[row.pk])
    assert b"every 2s" in client.get(log).content
    services.deliver_due()
    page = client.get(log).content
    assert b"every 2s" not in page
    assert b"so be it" in page
    again = client.post(reverse("news:new_secret", args=[row.pk]), follow=True).content
    assert Webhook.objects.get().secret.encode() in again
    assert Webhook.objects.get().secret != row.secret
    client.post(reverse("news:webhook", args=[row.pk]), form | {"url": receiver.url, "is_on": ""})
    assert not Webhook.objects.get().is_on
    client.post(reverse("news:delete_webhook", args=[row.pk]))
    assert not Webhook.objects.exists()
