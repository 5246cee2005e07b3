"""Votes to labels: the three rules on small cases and on FERPlus itself."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmfrm.classes import FERPLUS
from mmfrm.labels import DROPPED, class_columns, label_votes

COLUMNS = (*FERPLUS, "unknown", "NF")
FERPLUS_ZIP = Path(__file__).resolve().parents[3] / "shared/data/ferplus.zip"


def label(votes: list[int], rule: str) -> int:
    return int(label_votes(np.array([votes]), class_columns(COLUMNS), rule).labels[0])


def test_single_votes_are_slips_and_do_not_count() -> None:
    assert label([4, 1, 1, 1, 0, 1, 1, 1, 0, 0], "majority") == 0


def test_majority_needs_more_than_half_of_what_is_left() -> None:
    assert label([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], "majority") == DROPPED
    assert label([6, 4, 0, 0, 0, 0, 0, 0, 0, 0], "majority") == 0


def test_a_majority_for_unknown_or_no_face_leaves_the_sample_out() -> None:
    assert label([2, 0, 0, 0, 0, 0, 0, 0, 8, 0], "majority") == DROPPED
    assert label([0, 2, 0, 0, 0, 0, 0, 0, 0, 8], "argmax") == DROPPED


def test_nothing_but_single_votes_leaves_the_sample_out() -> None:
    assert label([1] * 10, "majority") == DROPPED
    assert label([1] * 10, "soft") == DROPPED
    assert label([0] * 10, "argmax") == DROPPED


def test_a_tie_under_argmax_goes_to_the_first_column() -> None:
    assert label([0, 0, 5, 5, 0, 0, 0, 0, 0, 0], "argmax") == 2


def test_soft_keeps_the_cleaned_distribution_over_expressions_only() -> None:
    found = label_votes(np.array([[6, 2, 1, 0, 0, 0, 0, 0, 2, 0]]), class_columns(COLUMNS), "soft")
    assert found.labels.tolist() == [0]
    assert found.distributions is not None
    assert found.distributions[0].tolist() == [0.75, 0.25, 0, 0, 0, 0, 0, 0]


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="plurality"):
        label([1] * 10, "plurality")


@pytest.mark.skipif(not FERPLUS_ZIP.exists(), reason="real faces are absent (../shared)")
@pytest.mark.parametrize(
    ("rule", "kept"),
    [("majority", (25_060, 3_199, 3_153)), ("argmax", (28_389, 3_553, 3_546))],
)
def test_the_published_counts_of_ferplus_come_out(rule: str, kept: tuple[int, int, int]) -> None:
    with zipfile.ZipFile(FERPLUS_ZIP) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("fer2013new.csv").decode())))
    for usage, expected in zip(("Training", "PublicTest", "PrivateTest"), kept, strict=True):
        votes = np.array(
            [[int(row[c]) for c in COLUMNS] for row in rows if row["Usage"] == usage and row["Image name"]]
        )
        labels = label_votes(votes, class_columns(COLUMNS), rule).labels
        assert int((labels != DROPPED).sum()) == expected
        if rule == "majority" and usage == "Training":
            by_class = np.bincount(labels[labels != DROPPED], minlength=8)
            assert by_class.tolist() == [8740, 7287, 3149, 3014, 2100, 119, 532, 119]
