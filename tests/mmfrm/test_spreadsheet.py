"""predictions.csv holds every probability, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from mmfrm.spreadsheet import safe_cell, write_csv


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\n=1"])
def test_what_would_be_a_formula_becomes_text(text: str) -> None:
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["a=1", "photo.jpg", "", "1.jpg", "'quoted", "…"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert safe_cell(text) == text


def test_rows_of_faces_and_of_bad_files(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"file": '=cmd|" /C calc"!A0', "probabilities": [0.1, 0.9], "error": None},
        {"file": "b,\n.jpg", "probabilities": [0.5, 0.5], "error": None},
        {"file": "c.jpg", "probabilities": None, "error": "broken JPEG (x)"},
    ]
    counts = write_csv(tmp_path / "p.csv", rows, ["neutral", "@happy"])
    assert counts == {"neutral": 1, "@happy": 1, "": 1}
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    assert found == [
        ["file", "class", "confidence", "p_neutral", "p_@happy", "error"],
        ['\'=cmd|" /C calc"!A0', "'@happy", "0.900000", "0.100000", "0.900000", ""],
        ["b,\n.jpg", "neutral", "0.500000", "0.500000", "0.500000", ""],
        ["c.jpg", "", "", "", "", "broken JPEG (x)"],
    ]
    assert not (tmp_path / "p.csv.part").exists()
