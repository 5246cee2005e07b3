"""predictions.csv from the row log: every probability, nothing that a spreadsheet would run. No torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# A cell that begins so is run as a formula by Excel, LibreOffice or Sheets (OWASP, "CSV Injection"); the
# full-width forms count where the spreadsheet's language is Chinese or Japanese.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Where the comma is the decimal mark, spreadsheets split our lines at semicolons. Quotes are heeded at the
# beginning of a cell alone, which then is that of the line: so a cell may begin after any semicolon.
_INNER = re.compile(r"""([;\t\r\n][ "]*)(?=[=+\-@＝＋－＠])""")
_SPLITTING = re.compile(r'[,;\t\r\n"]')


def safe_cell(text: str) -> str:
    """Text as a spreadsheet shows it and never runs it: an apostrophe before what looks like a formula."""
    text = _INNER.sub(r"\1'", text)
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text


def csv_line(cells: Iterable[str]) -> str:
    """A line of a CSV. Cells with what any spreadsheet splits at are quoted, not only those with commas."""
    return ",".join(_quoted(cell) if _SPLITTING.search(cell) else cell for cell in cells) + "\n"


def _quoted(cell: str) -> str:
    doubled = cell.replace('"', '""')
    return f'"{doubled}"'


BOX_COLUMNS = (
    "face",
    "x",
    "y",
    "width",
    "height",
    "detection",
)  # after the file; where faces were looked for


def write_csv(
    path: Path, rows: Iterable[dict[str, Any]], classes: Sequence[str], *, with_boxes: bool = False
) -> dict[str, int]:
    """Write a row log as CSV, whole or not at all; returns how many rows each class has ("" for errors).

    Columns: file, where asked for BOX_COLUMNS, class, confidence, `p_<class>` for every class, error.
    """
    counts = dict.fromkeys((*classes, ""), 0)
    boxes = BOX_COLUMNS if with_boxes else ()
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        shares = (safe_cell(f"p_{name}") for name in classes)
        file.write(csv_line(["file", *boxes, "class", "confidence", *shares, "error"]))
        for row in rows:
            name, cells = _cells(row, classes)
            counts[name] += 1
            file.write(csv_line([cells[0], *(box_cells(row) if with_boxes else ()), *cells[1:]]))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return counts


def box_cells(row: dict[str, Any]) -> list[str]:
    """Cells of BOX_COLUMNS: the face's number in its photo from 1 on; empty where none was found."""
    if not row.get("box"):
        return [""] * len(BOX_COLUMNS)
    return [str(row["face"] + 1), *map(str, row["box"]), f"{row['detection']:.4f}"]


def _cells(row: dict[str, Any], classes: Sequence[str]) -> tuple[str, list[str]]:
    file, probabilities = safe_cell(row["file"]), row["probabilities"]
    if probabilities is None:
        return "", [file, "", "", *("" for _ in classes), safe_cell(row["error"])]
    best = max(range(len(classes)), key=probabilities.__getitem__)  # the first of equals
    figures = [f"{p:.6f}" for p in probabilities]
    return classes[best], [file, safe_cell(classes[best]), figures[best], *figures, ""]
