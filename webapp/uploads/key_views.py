"""The page of somebody's upload key, with what to type in a terminal."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.permissions import may_create, require
from webapp.accounts.request import user_of
from webapp.uploads import keys


@require_http_methods(["GET", "POST"])
def key(request: HttpRequest) -> HttpResponse:
    """How to send files from a terminal; posted to, it makes a key and shows it this once."""
    user = user_of(request)
    require(may_create(user), "Your role does not allow uploads.")
    made = keys.make(user) if request.method == "POST" else ""
    context = {
        "made": made,
        "key": keys.of(user),
        "endpoint": request.build_absolute_uri(reverse("uploads:uploads")),
    }
    response = render(request, "uploads/key.html", context)
    response["Cache-Control"] = "no-store"  # the key is not for the browser's disk
    return response


@require_POST
def revoke(request: HttpRequest) -> HttpResponse:
    """End one's own key."""
    ended = keys.revoke(user_of(request))
    messages.info(request, "The upload key has ended." if ended else "There was no upload key.")
    return redirect("uploads:key")
