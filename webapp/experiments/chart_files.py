"""What a chart is drawn from, as CSV: every value as it is stored, not rounded or thinned as for a screen."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from mmfrm.spreadsheet import safe_cell
from webapp.accounts.permissions import get_visible
from webapp.accounts.request import user_of
from webapp.experiments import figures, points, selectors
from webapp.experiments.models import Experiment, Run
from webapp.jobs.models import JobEvent
from webapp.streams import StreamedRows

Rows = Iterator[Sequence[Any]]
SPLITS = ("train", "val")


@require_GET
def chart_csv(request: HttpRequest, pk: int, chart: str) -> HttpResponseBase:
    """The series of one chart of a run's page. Epochs and steps count from 1, as on the page."""
    run = get_visible(Run.objects.select_related("version"), request.user, pk=pk)
    if chart not in CHARTS:
        raise Http404
    rows = CHARTS[chart](run)
    first = next(rows, ())  # here, since a refusal must come before the answer has begun
    return _attached(chain([first], rows), f"{slugify(run.name)[:80] or f'run-{run.pk}'}-{chart}.csv")


@require_GET
def curves_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One validation figure of an experiment's runs, a column a run."""
    experiment = get_visible(Experiment.objects.all(), request.user, pk=pk)
    figure = request.GET.get("figure", "accuracy")
    if figure not in points.CURVES:
        raise Http404
    runs = list(selectors.runs(user_of(request)).filter(experiment=experiment))
    stem = slugify(experiment.name)[:80] or f"experiment-{pk}"
    return _attached(_curves(points.curves(runs, figure)), f"{stem}-{figure}.csv")


def _attached(rows: Rows, filename: str) -> HttpResponse | HttpResponseBase:
    response = StreamedRows(_lines(rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


def _lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([safe_cell(cell) if isinstance(cell, str) else cell for cell in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _of_epochs(*names: str) -> Callable[[Run], Rows]:
    """A column a figure; "val.accuracy" is a split's."""

    def rows(run: Run) -> Rows:
        yield ["epoch", *(name.replace(".", "_") for name in names)]
        for payload in points.epoch_payloads(run):
            yield [payload["epoch"] + 1, *(_value(payload, name) for name in names)]

    return rows


def _value(payload: dict[str, Any], name: str) -> Any:
    split, _, figure = name.rpartition(".")
    return (payload[split] if split else payload).get(figure)


def _by_expression(figure: str) -> Callable[[Run], Rows]:
    """A column a split and expression."""

    def rows(run: Run) -> Rows:
        names: list[str] = []
        for payload in points.epoch_payloads(run):
            classes = {split: payload[split].get("classes", []) for split in SPLITS}
            if not names:
                names = [one["name"] for one in classes["val"]]
                yield ["epoch", *(f"{split}_{name}" for split in SPLITS for name in names)]
            yield [payload["epoch"] + 1, *(one.get(figure) for split in SPLITS for one in classes[split])]

    return rows


def _steps(run: Run) -> Rows:
    yield points.STEP
    rows = JobEvent.objects.filter(job_id=run.job_id, kind="step").order_by("key")
    for payload in rows.values_list("payload", flat=True).iterator(chunk_size=points.PIECE):
        counted = payload | {name: payload[name] + 1 for name in ("step", "epoch")}
        yield [counted.get(name) for name in points.STEP]


def _hardware(run: Run) -> Rows:
    columns = points.hardware_columns(run)
    yield list(columns)
    yield from zip(*columns.values(), strict=True)


def _confusion(key: str) -> Callable[[Run], Rows]:
    def rows(run: Run) -> Rows:
        one = next((one for one in figures.of_run(run) if one.key == key), None)
        if one is None:
            raise Http404
        chart = one.chart
        yield ["truth \\ answer", *chart["classes"]]
        for name, row in zip(chart["classes"], chart["confusion"], strict=True):
            yield [name, *row]

    return rows


def _curves(curves: list[dict[str, Any]]) -> Rows:
    yield ["epoch", *(one["name"] for one in curves)]
    values = [dict(zip(one["x"], one["y"], strict=True)) for one in curves]
    for epoch in sorted(set().union(*values)):
        yield [epoch, *(one.get(epoch) for one in values)]


SINGLE = ("learning_rate", "gradient_norm", "images_per_second", "data_wait")
ACCURACY = ("accuracy", "accuracy_low", "accuracy_high", "mean_class_accuracy", "macro_f1")
CHARTS: dict[str, Callable[[Run], Rows]] = {
    "loss": _of_epochs(*(f"{s}.{name}" for s in SPLITS for name in ("loss", "cross_entropy", "rfloss"))),
    "accuracy": _of_epochs(*(f"{s}.{name}" for s in SPLITS for name in ACCURACY)),
    "variance": _by_expression("p_true_variance"),
    "mean": _by_expression("p_true_mean"),
    "recall": _by_expression("recall"),
    **{name: _of_epochs(name) for name in SINGLE},
    "steps": _steps,
    **dict.fromkeys(("processor", "memory", "gpu", "gpu_memory"), _hardware),
    **{f"confusion-{key}": _confusion(key) for key in ("test", "best", "last")},
}
