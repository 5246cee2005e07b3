"""What reviewers said as votes a face, in the form of FERPlus: a table, alone or with the faces in a zip.

The rule: each person has one vote a face, their latest word that was not taken back. A class is a vote for
that class, "not a face" one for NF, "unsure" one for unknown; who skipped a face did not vote. A model never
votes. Faces without a vote are not in the table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

from django.http import HttpRequest, StreamingHttpResponse
from django.views.decorators.http import require_GET

from mmfrm.spreadsheet import csv_line, safe_cell
from webapp.labeling import exports, selectors
from webapp.labeling.models import Correction, LabelBatch, Prediction, Verdict
from webapp.zips import zip_stream

PLACE = ("Photo", "x", "y", "width", "height")  # where a face is from; the importer passes over it
FACES = "faces"


@require_GET
def votes_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """The table alone."""
    batch = exports.batch_of(request, pk)
    return exports.download(batch, "votes.csv", "text/csv; charset=utf-8", exports.joined(_lines(batch)))


@require_GET
def votes_zip(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """The table and the faces that it names: a source that can be imported as it is."""
    batch = exports.batch_of(request, pk)
    return exports.download(batch, "votes.zip", "application/zip", zip_stream(_files(batch)))


def voted(batch: LabelBatch) -> Iterator[tuple[Prediction, list[int]]]:
    """Faces with their votes: one count a class of the model, then unknown, then NF."""
    rows = batch.predictions.filter(offset__isnull=False, corrections__isnull=False).distinct()
    faces = selectors.in_pieces(batch, rows)
    while piece := list(islice(faces, selectors.PIECE)):
        words = _words(piece)
        for face in piece:
            counts = _counts(words[face.pk], len(batch.model.classes))
            if any(counts):
                yield face, counts


def _words(faces: list[Prediction]) -> dict[int, dict[int, list[Correction]]]:
    """For each face and person what holds of what they said, the latest last: one query."""
    words: dict[int, dict[int, list[Correction]]] = defaultdict(lambda: defaultdict(list))
    said = Correction.objects.filter(prediction__in=[face.pk for face in faces]).order_by("pk")
    for word in said:
        holding = words[word.prediction_id][word.by_id]
        if word.undoes_id is None:
            holding.append(word)
        else:
            holding[:] = [earlier for earlier in holding if earlier.pk != word.undoes_id]
    return words


def _counts(people: dict[int, list[Correction]], classes: int) -> list[int]:
    counts = [0] * (classes + 2)
    for words in people.values():
        last = words[-1] if words else None
        if last is None or last.verdict == Verdict.SKIPPED:
            continue
        if last.label is not None:
            counts[last.label] += 1
        else:
            counts[classes if last.verdict == Verdict.UNSURE else classes + 1] += 1
    return counts


def _lines(batch: LabelBatch) -> Iterator[str]:
    yield _line(["Image name", *batch.model.classes, "unknown", "NF", *PLACE])
    for face, counts in voted(batch):
        yield _row(face, counts, selectors.pixels_of(batch, face))


def _files(batch: LabelBatch) -> Iterator[tuple[str, bytes]]:
    """The faces as they come, then the table of those that came."""
    lines = [_line(["Image name", *batch.model.classes, "unknown", "NF", *PLACE])]
    for face, counts in voted(batch):
        data = selectors.pixels_of(batch, face)
        lines.append(_row(face, counts, data))
        yield f"{FACES}/{exports.file_name(face, data)}", data
    yield "votes.csv", "".join(lines).encode()


def _row(face: Prediction, counts: list[int], data: bytes) -> str:
    box = [f"{edge:g}" for edge in face.box] if face.box else [""] * 4
    return _line([exports.file_name(face, data), *map(str, counts), face.file, *box])


def _line(cells: Iterable[str]) -> str:
    return csv_line(map(safe_cell, cells))
