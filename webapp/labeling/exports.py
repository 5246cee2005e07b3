"""What leaves a batch: CSV, JSON lines, and class folders in a zip; all made while they are sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from mmfrm.spreadsheet import csv_line, safe_cell
from webapp import packs
from webapp.accounts.permissions import get_visible
from webapp.labeling import selectors
from webapp.labeling.models import LabelBatch, Prediction, Verdict
from webapp.streams import StreamedRows
from webapp.zips import zip_stream

LINES = 500  # in one piece of a stream


@require_GET
def labels_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """One row a face: every probability, and what people said of it."""
    batch = batch_of(request, pk)
    return download(batch, "csv", "text/csv; charset=utf-8", joined(csv_lines(batch)))


@require_GET
def labels_jsonl(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """The same as JSON, an object a line, figures in full."""
    batch = batch_of(request, pk)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in _objects(batch))
    return download(batch, "jsonl", "application/jsonl; charset=utf-8", joined(lines))


@require_GET
def folders_zip(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Faces in a folder for each class, by what holds now; ?reviewed=1 for those that people judged."""
    batch = batch_of(request, pk)
    rows = batch.predictions.filter(offset__isnull=False)
    if request.GET.get("reviewed"):
        rows = rows.exclude(verdict=Verdict.NOTHING)
    files = _files(batch, selectors.in_pieces(batch, rows))
    return download(batch, "zip", "application/zip", zip_stream(files))


def batch_of(request: HttpRequest, pk: int) -> LabelBatch:
    """The batch, where the visitor may see it."""
    return get_visible(LabelBatch.objects.select_related("model"), request.user, pk=pk)


def download(
    batch: LabelBatch, ending: str, content_type: str, pieces: Iterable[str | bytes]
) -> StreamingHttpResponse:
    """A file that is made while it is sent, called like the batch."""
    response = StreamedRows(pieces, content_type=content_type)
    name = f"{slugify(batch.name) or 'labels'}.{ending}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def joined(lines: Iterator[str]) -> Iterator[str]:
    """Lines in pieces that are worth sending."""
    piece: list[str] = []
    for line in lines:
        piece.append(line)
        if len(piece) == LINES:
            yield "".join(piece)
            piece = []
    yield "".join(piece)


# --- rows ------------------------------------------------------------------------------------------


def csv_lines(batch: LabelBatch) -> Iterator[str]:
    """The CSV a line at a time, safe for spreadsheets."""
    for cells in csv_rows(batch):
        yield csv_line(map(safe_cell, cells))


def csv_rows(batch: LabelBatch) -> Iterator[list[str]]:
    """Cells, the header first. `label` is what holds: the person's class, else the model's.

    Where faces were looked for, five columns say where in the photo each lies and how surely it is one.
    """
    classes: list[str] = batch.model.classes
    edges = ("x", "y", "width", "height", "detection") if batch.options.get("faces") == "find" else ()
    yield [
        "file", *edges, "class", "confidence", *(f"p_{name}" for name in classes), "label", "corrected",
        "review", "reviewed_by", "reviewed_at", "error", "model", "model_version",
    ]  # fmt: skip
    for row in selectors.in_pieces(batch):
        final = selectors.final_label(row)
        box = ["" for _ in edges]
        if row.box and edges:
            detection = "" if row.detection is None else f"{row.detection:.4f}"
            box = [*(f"{edge:g}" for edge in row.box), detection]
        if row.label is None or row.probabilities is None or row.confidence is None:
            answer = ["", "", *("" for _ in classes)]
        else:
            answer = [classes[row.label], f"{row.confidence:.6f}", *(f"{p:.6f}" for p in row.probabilities)]
        yield [
            row.file,
            *box,
            *answer,
            "" if final is None else classes[final],
            "" if row.corrected is None else classes[row.corrected],
            row.verdict,
            "" if row.reviewed_by is None else str(row.reviewed_by),
            "" if row.reviewed_at is None else row.reviewed_at.isoformat(timespec="seconds"),
            row.error,
            batch.model.name,
            model_version(batch),
        ]


def model_version(batch: LabelBatch) -> str:
    """Names the weights beyond doubt: models never change, so their key does."""
    return f"model-{batch.model_id}"


def _objects(batch: LabelBatch) -> Iterator[dict[str, Any]]:
    classes: list[str] = batch.model.classes
    model = {"name": batch.model.name, "version": model_version(batch)}
    for row in selectors.in_pieces(batch):
        final = selectors.final_label(row)
        yield {
            "index": row.index,
            "file": row.file,
            "box": row.box,
            "detection": row.detection,
            "class": None if row.label is None else classes[row.label],
            "confidence": row.confidence,
            "probabilities": row.probabilities and dict(zip(classes, row.probabilities, strict=True)),
            "label": None if final is None else classes[final],
            "corrected": None if row.corrected is None else classes[row.corrected],
            "review": row.verdict or None,
            "reviewed_by": None if row.reviewed_by is None else str(row.reviewed_by),
            "reviewed_at": None if row.reviewed_at is None else row.reviewed_at.isoformat(),
            "error": row.error or None,
            "model": model,
        }


# --- class folders -----------------------------------------------------------------------------------


def _files(batch: LabelBatch, rows: Iterable[Prediction]) -> Iterator[tuple[str, bytes]]:
    classes: list[str] = batch.model.classes
    for row in rows:
        if row.offset is None or row.length is None:
            continue
        final = selectors.final_label(row)
        folder = row.get_verdict_display().lower() if final is None else classes[final]
        data = selectors.pixels_of(batch, row)
        yield f"{_plain(folder)}/{file_name(row, data)}", data


def file_name(row: Prediction, data: bytes) -> str:
    """A name of its own for each face: its number, its photo's name, and an ending that tells the truth."""
    stem = PurePosixPath(row.file.replace("\\", "/")).stem
    return f"{row.index:06} {_plain(stem)[:80]}{packs.ending(data)}"


def _plain(text: str) -> str:
    """Without what whoever unpacks could take for a path, or a spreadsheet for the end of a cell."""
    return re.sub(r'[\x00-\x1f<>:;"/\\|?*]', "_", text).strip(" .") or "_"
