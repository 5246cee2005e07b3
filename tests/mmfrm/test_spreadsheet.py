"""predictions.csv holds every probability, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from mmfrm.spreadsheet import csv_line, safe_cell, write_csv


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t1", "\r1", " =1", "＝1", "\n1"])
def test_what_would_be_a_formula_becomes_text(text: str) -> None:
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize(
    "text", ["a;=1+1;.jpg", 'a;"=1+1";.jpg', "a; -1", "a\t@SUM(A1)", "a\n=1", "\n=1", "a;；＝1", '";=1+1;"']
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_part_of_a_cell_is_a_formula_wherever_a_spreadsheet_splits(text: str, delimiter: str) -> None:
    """A reader that does not know our delimiter heeds quotes at the beginning of the line alone."""
    line = csv_line(map(safe_cell, [text, "neutral", text, "a,b"]))
    for row in csv.reader(io.StringIO(line, newline=""), delimiter=delimiter):
        assert not any(cell.strip(' "').startswith(("=", "+", "-", "@", "＝")) for cell in row), row
    assert next(csv.reader(io.StringIO(line, newline="")))[2:] == [safe_cell(text), "a,b"]


@pytest.mark.parametrize("text", ["a=1", "photo.jpg", "", "1.jpg", "'quoted", "…", "a;b.jpg", "a-1;b=2"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert safe_cell(text) == text


def test_rows_of_faces_and_of_bad_files(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"file": '=cmd|" /C calc"!A0', "probabilities": [0.1, 0.9], "error": None},
        {"file": "b,\n.jpg", "probabilities": [0.5, 0.5], "error": None},
        {"file": "c;=1+1;.jpg", "probabilities": None, "error": "broken JPEG (x)"},
    ]
    counts = write_csv(tmp_path / "p.csv", rows, ["neutral", "@happy"])
    assert counts == {"neutral": 1, "@happy": 1, "": 1}
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    assert found == [
        ["file", "class", "confidence", "p_neutral", "p_@happy", "error"],
        ['\'=cmd|" /C calc"!A0', "'@happy", "0.900000", "0.100000", "0.900000", ""],
        ["b,\n.jpg", "neutral", "0.500000", "0.500000", "0.500000", ""],
        ["c;'=1+1;.jpg", "", "", "", "", "broken JPEG (x)"],
    ]
    assert '\n"c;' in (tmp_path / "p.csv").read_text(), "one cell also where semicolons separate"
    assert not (tmp_path / "p.csv.part").exists()
