"""Filters and tags of the house, built into every template."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import template
from django.core.paginator import Page
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, HiddenInput, RadioSelect, Select
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mmfrm.classes import EXPRESSIONS, canonical
from webapp.jobs import kinds
from webapp.jobs.models import Job

if TYPE_CHECKING:
    from webapp.registry.starter import Offer

register = template.Library()

SPRITE = "vendor/icons/icons.svg"


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """An icon of the sprite (static/vendor/icons.txt), in the colour of the text around it."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        css,
        static(SPRITE),
        name,
    )


# --- the frame ------------------------------------------------------------------------------------

# label, icon, address, and the namespaces in which the entry is the current one
NAVIGATION = (
    ("Home", "home", "home", ("",)),
    ("Data sets", "database", "datasets:index", ("datasets", "uploads")),
    ("Experiments", "flask", "experiments:index", ("experiments", "searches")),
    ("Models", "package", "registry:index", ("registry",)),
    ("Labelling", "tags", "labeling:index", ("labeling",)),
    ("Queue", "stack-2", "jobs:index", ("jobs",)),
)
PEOPLE = ("accounts:people", "accounts:invite", "accounts:make_link")


@register.inclusion_tag("components/navigation.html", takes_context=True)
def navigation(context: template.Context) -> dict[str, Any]:
    """The entries of the side bar, the current one marked."""
    request = context["request"]
    match = request.resolver_match
    here = match.namespace.split(":")[0] if match else None
    is_home = bool(match) and match.view_name == "home"
    entries = []
    for label, symbol, name, namespaces in NAVIGATION:
        current = is_home if name == "home" else here in namespaces
        entries.append({"label": label, "icon": symbol, "url": reverse(name), "is_current": current})
    return {
        "entries": entries,
        "is_people": bool(match) and match.view_name in PEOPLE,
        "may_administer": context.get("may_administer", False),
    }


@register.inclusion_tag("components/breadcrumb.html")
def breadcrumb(*steps: str) -> dict[str, Any]:
    """{% breadcrumb "Data sets" list_url "FERPlus" %}: label and address in turn; the last has none."""
    pairs = list(zip(steps[0:-1:2], steps[1:-1:2], strict=False)) if len(steps) > 1 else []
    return {"steps": pairs, "here": steps[-1] if len(steps) % 2 else ""}


@register.inclusion_tag("components/page_header.html")
def page_header(title: str, subtitle: str = "") -> dict[str, Any]:
    """The page's heading. Buttons go into the block `actions` beside it."""
    return {"title": title, "subtitle": subtitle}


@register.inclusion_tag("components/empty_state.html")
def empty_state(symbol: str, title: str, text: str = "", url: str = "", label: str = "") -> dict[str, Any]:
    """Nothing here yet, and what to do next."""
    return {"icon": symbol, "title": title, "text": text, "url": url, "label": label}


@register.inclusion_tag("components/pagination.html", takes_context=True)
def pagination(context: template.Context, page: Page[Any], target: str = "") -> dict[str, Any]:
    """Links to the other pages of a list, keeping the filters of the address.

    `target`, a selector, makes htmx replace only that part of the page.
    """
    return {
        "request": context["request"],
        "page": page,
        "target": target,
        "numbers": page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1),
        "gap": page.paginator.ELLIPSIS,
    }


# --- forms ----------------------------------------------------------------------------------------


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, css: str = "") -> dict[str, Any]:
    """A form field with label, help and error, tied together for screen readers."""
    widget = bound.field.widget
    is_check = isinstance(widget, CheckboxInput)
    is_radio = isinstance(widget, RadioSelect | CheckboxSelectMultiple)
    kind = "form-control"
    if is_radio:
        kind = ""  # Django would give the class to the list around the inputs, too
    elif is_check:
        kind = "form-check-input"
    elif isinstance(widget, Select):
        kind = "form-select"
    attrs: dict[str, str | bool] = {
        "class": f"{widget.attrs.get('class', '')} {kind}{' is-invalid' if bound.errors else ''}".strip()
    }
    return {
        "field": bound,
        "input": bound.as_widget(attrs=attrs),
        "is_check": is_check,
        "is_radio": is_radio,
        "is_hidden": isinstance(widget, HiddenInput),
        "css": css,
    }


# --- jobs -----------------------------------------------------------------------------------------

STATE_ICONS = {
    Job.State.QUEUED: "clock",
    Job.State.STARTING: "loader",
    Job.State.RUNNING: "player-play",
    Job.State.PAUSING: "player-pause",
    Job.State.PAUSED: "player-pause",
    Job.State.STOPPING: "player-stop",
    Job.State.STOPPED: "player-stop",
    Job.State.FINISHED: "check",
    Job.State.FAILED: "alert-triangle",
}


@register.inclusion_tag("components/state_badge.html")
def state_badge(job: Job) -> dict[str, Any]:
    """The state of a job, in colour, word and icon. Follows the job where job.js is loaded."""
    return {"job": job, "icon": STATE_ICONS[Job.State(job.state)], "label": kinds.of(job).label(job)}


@register.inclusion_tag("components/job_progress.html")
def job_progress(job: Job, compact: bool = False) -> dict[str, Any]:
    """Bar, counts, rate and time left of a job; follows it live."""
    return {"job": job, "compact": compact, "percent": f"{100 * job.share_done:.1f}"}


# --- expressions ----------------------------------------------------------------------------------


@register.filter
def expression_slot(name: str) -> str:
    """Which of the fixed colours an expression has: its canonical name, or "unknown"."""
    known = canonical(name or "")
    return known if known in EXPRESSIONS else "unknown"


@register.inclusion_tag("components/expression_badge.html")
def expression_badge(name: str, note: str = "") -> dict[str, Any]:
    """An expression's name beside its fixed colour, which is the same on every chart."""
    return {"name": name or "unknown", "slot": expression_slot(name), "note": note}


# --- figures and times ----------------------------------------------------------------------------


@register.simple_tag
def starter_offers() -> list[Offer]:
    """What ships with the program and nobody has taken up yet; empty where there is nothing to offer."""
    from webapp.registry.starter import offered

    return offered()


@register.simple_tag
def ago(moment: datetime | None, empty: str = "never") -> SafeString | str:
    """A time as people say it, with the exact one on hover; kept up to date by relative-time.js."""
    if moment is None:
        return empty
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>',
        moment.isoformat(),
        f"{local:%d %B %Y, %H:%M:%S %Z}",
        spoken_ago((timezone.now() - moment).total_seconds()),
    )


AGO_STEPS = ((60, 1, "second"), (3600, 60, "minute"), (86400, 3600, "hour"), (86400 * 30, 86400, "day"),
             (86400 * 365, 86400 * 30, "month"), (float("inf"), 86400 * 365, "year"))  # fmt: skip


def spoken_ago(seconds: float) -> str:
    """ "just now", "3 minutes ago", "in 2 hours". The same words as in static/js/format.js."""
    distance = abs(seconds)
    if distance < 10:
        return "just now"
    size, unit = next((size, unit) for limit, size, unit in AGO_STEPS if distance < limit)
    count = int(distance // size)
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{words} ago" if seconds > 0 else f"in {words}"


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds as "42 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"; a dash where unknown."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    for size, unit, small, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit} {rest} {small_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


@register.filter
def number(value: float | str | None, digits: int = 0) -> str:
    """35710 as 35,710; a dash where there is none (a template says "" for a missing key)."""
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "–"


@register.filter
def uncapitalised(text: str) -> str:
    """With a small first letter, to go on with a sentence; names within keep theirs."""
    return text[:1].lower() + text[1:]


@register.filter
def rate(value: float) -> str:
    """Units a second, with a decimal only where it tells something: 73.4, 812."""
    return number(value, 0 if value >= 100 else 1)


@register.filter
def percent(share: float | str | None, digits: int = 1) -> str:
    """0.8312 as 83.1 %; a dash where there is none (a template says "" for a missing key)."""
    return f"{100 * share:.{digits}f} %" if isinstance(share, int | float) else "–"


@register.filter
def size(count: float | None) -> str:
    """Bytes as 1.5 GB, in powers of 1000 as disks are sold."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
