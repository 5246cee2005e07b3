"""Webhooks: where other programs are told that work has ended."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts.permissions import get_editable, may_create, require, visible
from webapp.accounts.request import user_of
from webapp.news import services
from webapp.news.forms import WebhookForm
from webapp.news.models import Delivery, Webhook

REFUSAL = "Viewers cannot set webhooks. Ask an administrator for the editor role."
SECRET = "webhook secret"  # noqa: S105 - in the session, from the change to the page that shows it once
SHOWN = 50  # deliveries


@require_http_methods(["GET", "POST"])
def webhooks(request: HttpRequest) -> HttpResponse:
    """The webhooks that one may change, and another one."""
    user = user_of(request)
    require(may_create(user), REFUSAL)
    form = WebhookForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        made = services.create_webhook(user, base_url=request.build_absolute_uri("/"), **form.cleaned_data)
        return _with_secret(request, made.pk, made.secret)
    rows = visible(Webhook.objects.select_related("owner"), user).order_by("-created_at")
    if not user.is_administrator:
        rows = rows.filter(owner=user)
    context = {"webhooks": rows, "form": form}
    return render(request, "news/webhooks.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@never_cache
def webhook(request: HttpRequest, pk: int) -> HttpResponse:
    """One webhook: what it is told, its log, its secret where it is new."""
    row = _webhook(request, pk)
    form = WebhookForm(request.POST if request.method == "POST" else None, instance=row)
    if form.is_valid():
        services.edit_webhook(row, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("news:webhook", pk)
    kept: dict[str, Any] = request.session.get(SECRET, {})
    secret = kept.get("secret", "") if kept.get("webhook") == pk else ""
    if secret:
        del request.session[SECRET]
    shown = Webhook.objects.get(pk=pk)  # not what a refused form has made of it
    context = {"webhook": shown, "form": form, "secret": secret} | _log(row)
    return render(request, "news/webhook.html", context, status=422 if form.errors else 200)


@require_GET
def deliveries(request: HttpRequest, pk: int) -> HttpResponse:
    """The log alone, for htmx."""
    row = _webhook(request, pk)
    return render(request, "news/_deliveries.html", {"webhook": row} | _log(row))


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a message about nothing."""
    services.test_webhook(_webhook(request, pk))
    messages.info(request, "A test is on its way; the log below shows what came of it.")
    return redirect("news:webhook", pk)


@require_POST
def new_secret(request: HttpRequest, pk: int) -> HttpResponse:
    """Another secret, shown once."""
    row = _webhook(request, pk)
    return _with_secret(request, pk, services.new_secret(row))


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a webhook with its log."""
    row = _webhook(request, pk)
    row.delete()
    messages.success(request, f"{row.name} is deleted.")
    return redirect("news:webhooks")


def _webhook(request: HttpRequest, pk: int) -> Webhook:
    return get_editable(Webhook.objects.select_related("owner"), request.user, pk=pk)


def _with_secret(request: HttpRequest, pk: int, secret: str) -> HttpResponse:
    request.session[SECRET] = {"webhook": pk, "secret": secret}
    return redirect("news:webhook", pk)


def _log(row: Webhook) -> dict[str, Any]:
    rows = list(row.deliveries.select_related("job").order_by("-made_at", "-pk")[:SHOWN])
    return {
        "deliveries": rows,
        "is_waiting": any(one.state == Delivery.State.WAITING for one in rows),
        "most_tries": len(services.PAUSES) + 1,
    }
