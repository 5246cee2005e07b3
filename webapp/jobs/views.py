"""Steering jobs, the queue, and what a job said."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.models import User
from webapp.accounts.permissions import may_edit, require
from webapp.accounts.request import user_of
from webapp.jobs import kinds, ordering, selectors, services, wording
from webapp.jobs.models import Job

LINES_A_PAGE = 200


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """The queue: what runs where, what waits and why, and which workers live."""
    return render(request, "jobs/index.html", _queue(request))


@require_GET
def queue(request: HttpRequest) -> HttpResponse:
    """The queue's lists alone, for htmx: something has changed."""
    return render(request, "jobs/_queue.html", _queue(request))


@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """End a job; it can be resumed."""
    return _steered(request, pk, services.stop)


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a job step aside with a checkpoint."""
    return _steered(request, pk, services.pause)


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Put a paused, stopped or failed job back in the queue."""
    return _steered(request, pk, services.resume)


@require_POST
def move(request: HttpRequest, pk: int, *, up: bool) -> HttpResponse:
    """Let a waiting job change places with its neighbour."""
    job = _steerable(request, pk)
    moved = ordering.change_places(job, by=user_of(request), up=up)
    if request.headers.get("HX-Request"):
        return render(request, "jobs/_queue.html", _queue(request))
    if not moved:
        messages.info(request, f"{job.title} is already at that end of the queue.")
    return HttpResponseRedirect(_back(request, job))


@require_POST
def place(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a waiting job go before another, or to the end: where it was dropped. Answers the queue."""
    job = _steerable(request, pk)
    before = request.POST.get("before", "")
    ordering.place(job, by=user_of(request), before=int(before) if before.isdecimal() else None)
    return render(request, "jobs/_queue.html", _queue(request))


@require_GET
def log(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything that a job said and that happened to it, newest first."""
    job = get_object_or_404(Job, pk=pk)
    user = user_of(request)
    if not selectors.may_watch(user, job):
        raise Http404
    page = Paginator(wording.log_of(job), LINES_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "job": job,
        "page": page,
        "lines": [wording.as_line(row) for row in page],
        "url": kinds.of(job).url(job),
        "output": wording.output_tail(job),
    }
    return render(request, "jobs/log.html", context)


def _steered(request: HttpRequest, pk: int, wish: Callable[[Job, User], bool]) -> HttpResponse:
    """Carry out a wish and say what happened. Two tabs, or a double click, are harmless."""
    job = _steerable(request, pk)
    changed = wish(job, user_of(request))
    job.refresh_from_db()
    said = wording.what_happened(job, changed=changed)
    if request.headers.get("HX-Request"):
        return render(request, "jobs/_controls.html", {"job": job, "may_steer": True, "said": said})
    messages.info(request, said)
    return HttpResponseRedirect(_back(request, job))


def _steerable(request: HttpRequest, pk: int) -> Job:
    job = get_object_or_404(Job, pk=pk)
    user = user_of(request)
    if not selectors.may_watch(user, job):
        raise Http404
    owner = kinds.of(job).subject(job).owner
    require(
        may_edit(user, kinds.of(job).subject(job)), f"Only {owner} or an administrator may steer {job.title}."
    )
    return job


def _back(request: HttpRequest, job: Job) -> str:
    """To the queue where the button was there, else to the job's page."""
    return reverse("jobs:index") if "queue" in request.POST else kinds.of(job).url(job)


def _queue(request: HttpRequest) -> dict[str, object]:
    return {"queues": selectors.queues(user_of(request))}
