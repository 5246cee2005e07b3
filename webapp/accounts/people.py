"""Administrators' pages: people, invitations, and the style guide."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from mmfrm.classes import EXPRESSIONS
from webapp.accounts import selectors, services
from webapp.accounts.forms import InvitationForm, RoleForm
from webapp.accounts.models import Invitation, User
from webapp.accounts.permissions import may_administer, require
from webapp.accounts.styleguide import example_form, example_jobs
from webapp.errors import RefusedError

WHY = "Only administrators manage people."


@require_GET
def people(request: HttpRequest) -> HttpResponse:
    """Everybody, and the invitations that are open."""
    require(may_administer(request.user), WHY)
    return render(request, "accounts/people.html", _people(request, InvitationForm()))


@require_POST
@never_cache
def invite(request: HttpRequest) -> HttpResponse:
    """Make an invitation and show its link, this once."""
    require(may_administer(request.user), WHY)
    form = InvitationForm(request.POST)
    context = _people(request, form)
    if form.is_valid():
        data = form.cleaned_data
        _, path = services.invite(cast(User, request.user), data["role"], data["email"])
        context |= {"link": request.build_absolute_uri(path), "form": InvitationForm()}
    return render(request, "accounts/people.html", context)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """End an invitation."""
    require(may_administer(request.user), WHY)
    services.revoke(get_object_or_404(Invitation, pk=pk))
    messages.success(request, "The invitation has ended.")
    return redirect("accounts:people")


@require_POST
def change_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Give somebody another role."""
    require(may_administer(request.user), WHY)
    person = get_object_or_404(User, pk=pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, "There is no such role.")
        return redirect("accounts:people")
    try:
        services.change_role(person, form.cleaned_data["role"])
    except RefusedError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{person} is now {User.Role(form.cleaned_data['role']).label.lower()}.")
    return redirect("accounts:people")


@require_POST
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    """Close an account."""
    require(may_administer(request.user), WHY)
    person = get_object_or_404(User, pk=pk)
    try:
        services.deactivate(person)
    except RefusedError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"The account of {person} is closed. What they own stays.")
    return redirect("accounts:people")


@require_POST
def activate(request: HttpRequest, pk: int) -> HttpResponse:
    """Open a closed account."""
    require(may_administer(request.user), WHY)
    person = get_object_or_404(User, pk=pk)
    services.activate(person)
    messages.success(request, f"The account of {person} is open again.")
    return redirect("accounts:people")


@require_POST
@never_cache
def make_link(request: HttpRequest, pk: int) -> HttpResponse:
    """A sign-in link for somebody who forgot their password, shown this once."""
    require(may_administer(request.user), WHY)
    person = get_object_or_404(User, pk=pk, is_active=True)
    path = services.make_sign_in_link(person, resets_password=True)
    context = _people(request, InvitationForm())
    return render(
        request,
        "accounts/people.html",
        context | {"link": request.build_absolute_uri(path), "link_of": person},
    )


@require_GET
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component in one place, for those who build pages."""
    require(may_administer(request.user), "Only administrators see the style guide.")
    return render(
        request,
        "styleguide.html",
        {
            "form": example_form(),
            "jobs": example_jobs(cast(User, request.user)),
            "expressions": [*EXPRESSIONS, "unknown"],
            "page": Paginator(range(1234), 50).get_page(7),
        },
    )


def _people(request: HttpRequest, form: InvitationForm) -> dict[str, object]:
    return {
        "people": selectors.people(),
        "invitations": selectors.open_invitations(),
        "roles": User.Role.choices,
        "form": form,
    }
