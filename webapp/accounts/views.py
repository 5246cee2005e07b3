"""Coming in, going out, and one's own account."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlencode, urlsplit

from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts import selectors, services
from webapp.accounts.forms import NewAccountForm, PasswordForm, ProfileForm, SignInForm
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.partials import wants_part

BACKEND = "django.contrib.auth.backends.ModelBackend"


def _goal(request: HttpRequest) -> str:
    """Where to go after signing in: `next`, if it is one of our own pages."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else resolve_url("home")


def _leave_for_sign_in(request: HttpRequest) -> HttpResponse:
    """A page asked for a part of itself when its session had ended: all of it goes to sign in, and back."""
    page = urlsplit(request.headers.get("HX-Current-URL", ""))
    goal = page._replace(scheme="", netloc="").geturl() or resolve_url("home")
    return HttpResponse(headers={"HX-Redirect": f"{request.path}?{urlencode({'next': goal})}"})


@require_http_methods(["GET", "POST"])
@login_not_required
@never_cache
@sensitive_post_parameters("password")
def sign_in(request: HttpRequest) -> HttpResponse:
    """By user name and password."""
    if request.user.is_authenticated:
        return redirect(_goal(request))
    if wants_part(request):
        return _leave_for_sign_in(request)
    form = SignInForm(request, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and form.user is not None:
        login(request, form.user)
        return redirect(_goal(request))
    status = 429 if form.is_throttled else 200
    return render(request, "accounts/sign_in.html", {"form": form, "next": _goal(request)}, status=status)


@require_GET
@login_not_required
@never_cache
def use_link(request: HttpRequest, token: str) -> HttpResponse:
    """By a link that works once."""
    user = services.use_sign_in_link(token)
    if user is None:
        if request.user.is_authenticated:  # the back button, or the link clicked twice
            return redirect("home")
        return render(request, "accounts/link_ended.html", status=410)
    login(request, user, backend=BACKEND)
    return redirect("home" if user.has_usable_password() else "accounts:welcome")


@require_http_methods(["GET", "POST"])
@never_cache
@sensitive_post_parameters("password", "again")
def welcome(request: HttpRequest) -> HttpResponse:
    """Somebody who came by a link and has no password yet makes one."""
    user = cast(User, request.user)
    if user.has_usable_password():
        return redirect("home")
    initial = {"username": user.username, "name": user.get_full_name()}
    form = NewAccountForm(request.POST or None, user=user, initial=initial)
    if form.is_valid():
        data = form.cleaned_data
        services.set_up(user, username=data["username"], name=data["name"], password=data["password"])
        update_session_auth_hash(request, user)
        messages.success(request, f"Welcome, {user}.")
        return redirect("home")
    return render(request, "accounts/welcome.html", {"form": form})


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("accounts:sign_in")


@require_http_methods(["GET", "POST"])
@login_not_required
@never_cache
@sensitive_post_parameters("password", "again")
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Somebody invited makes their account."""
    invitation = selectors.open_invitation(token)
    if invitation is None:
        return render(request, "accounts/invitation_ended.html", status=410)
    if request.user.is_authenticated:
        return render(request, "accounts/invitation_of_other.html", {"invitation": invitation})
    form = NewAccountForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            user = services.accept(
                token, username=data["username"], name=data["name"], password=data["password"]
            )
        except RefusedError:
            return render(request, "accounts/invitation_ended.html", status=410)
        login(request, user, backend=BACKEND)
        messages.success(request, f"Welcome, {user}.")
        return redirect("home")
    return render(request, "accounts/accept.html", {"form": form, "invitation": invitation})


@require_http_methods(["GET", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """One's own name, password and colours."""
    user = cast(User, request.user)
    initial = {"name": user.get_full_name(), "email": user.email}
    form = ProfileForm(request.POST or None, initial=initial)
    if form.is_valid():
        services.rename(user, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("accounts:account")
    return render(request, "accounts/account.html", {"form": form, "password": PasswordForm(user=user)})


@require_POST
@sensitive_post_parameters("present", "password", "again")
def change_password(request: HttpRequest) -> HttpResponse:
    """Another password; the other sessions of the account end."""
    user = cast(User, request.user)
    form = PasswordForm(request.POST, user=user)
    if form.is_valid():
        user.set_password(form.cleaned_data["password"])
        user.save(update_fields=["password"])
        update_session_auth_hash(request, user)
        messages.success(request, "The password is changed. Other browsers have been signed out.")
        return redirect("accounts:account")
    profile = ProfileForm(initial={"name": user.get_full_name(), "email": user.email})
    return render(request, "accounts/account.html", {"form": profile, "password": form})
