"""What can be taken away from a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from webapp.accounts.permissions import get_visible
from webapp.experiments import figures, steered
from webapp.experiments.models import Run
from webapp.experiments.points import epoch_payloads
from webapp.folders import zipped
from webapp.streams import StreamedFile, StreamedRows


@require_GET
def download(request: HttpRequest, pk: int, what: str) -> HttpResponseBase:
    """One of PARTS, named after the run."""
    run = get_visible(Run.objects.select_related("version"), request.user, pk=pk)
    if what not in PARTS:
        raise Http404
    return PARTS[what](run)


def _model(run: Run) -> HttpResponseBase:
    return zipped(run.folder / "model", f"{_stem(run)}-model.zip")


def _checkpoint(run: Run) -> HttpResponseBase:
    return _file(run.folder / "last.ckpt", f"{_stem(run)}-last.ckpt", "application/octet-stream")


def _job(run: Run) -> HttpResponseBase:
    return _file(run.folder / "job.json", f"{_stem(run)}-job.json", "application/json")


def _config(run: Run) -> HttpResponseBase:
    data = {"name": run.name, "preset": run.preset, "data": str(run.version), "config": run.config}
    return _attached(json.dumps(data, indent=2), "application/json", f"{_stem(run)}-config.json")


def _metrics_json(run: Run) -> HttpResponseBase:
    data = {
        "run": run.name,
        "data": {"name": str(run.version), "fingerprint": run.version.fingerprint},
        "epochs": list(epoch_payloads(run)),
        "steering": steered.marks(run),
        "test": run.test or None,
    }
    return _attached(json.dumps(data), "application/json", f"{_stem(run)}-metrics.json")


def _metrics_csv(run: Run) -> HttpResponseBase:
    response = StreamedRows(_csv_lines(figures.epoch_rows(run)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{_stem(run)}-epochs.csv"'
    return response


def _csv_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(buffer, list(row), extrasaction="ignore")
            writer.writeheader()
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _file(path: Path, filename: str, content_type: str) -> HttpResponseBase:
    try:
        return StreamedFile(path.open("rb"), as_attachment=True, filename=filename, content_type=content_type)
    except OSError as error:
        raise Http404 from error


def _attached(text: str, content_type: str, filename: str) -> HttpResponse:
    response = HttpResponse(text, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


def _stem(run: Run) -> str:
    return slugify(run.name)[:80] or f"run-{run.pk}"


PARTS: dict[str, Callable[[Run], HttpResponseBase]] = {
    "model.zip": _model,
    "last.ckpt": _checkpoint,
    "job.json": _job,
    "config.json": _config,
    "metrics.json": _metrics_json,
    "epochs.csv": _metrics_csv,
}
