"""Home, health, and the pages for when something is wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template import loader
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET

from webapp import home as selectors
from webapp.accounts.models import User
from webapp.accounts.request import user_of
from webapp.news import services as news
from webapp.news.selectors import looked_before


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """What runs now, what waits, what ended lately; for a newcomer, where to begin."""
    user = user_of(request)
    return render(request, "home.html", _activity(user, since=news.look(user)))


@require_GET
def activity(request: HttpRequest) -> HttpResponse:
    """The moving part of the home page alone, for htmx: something has changed."""
    user = user_of(request)
    context = _activity(user, since=looked_before(user))
    return render(request, "components/activity.html", context)


def _activity(user: User, *, since: datetime) -> dict[str, Any]:
    return {"activity": selectors.activity(user, since), "steps": selectors.steps(user)}


@require_GET
@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """Answers when the process and its database do; for supervisors and healthchecks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403, with the reason."""
    return render(request, "403.html", {"reason": str(exception or "")}, status=403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404: not there, or not yours to see."""
    return render(request, "404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """500. Asks nothing of the database, which may be what is broken."""
    return HttpResponse(loader.render_to_string("500.html"), status=500)


@require_GET
@login_not_required
def offline(request: HttpRequest) -> HttpResponse:
    """What the service worker shows when the server cannot be reached."""
    return HttpResponse(loader.render_to_string("offline.html"))


@require_GET
@login_not_required
@cache_control(no_cache=True)
def service_worker(request: HttpRequest) -> HttpResponse:
    """The script that keeps the offline page; at the root, since it serves only what is below it."""
    return HttpResponse(loader.render_to_string("service_worker.js"), content_type="text/javascript")
