"""Coefficients of agreement, against published figures and against figures found another way."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from webapp.labeling.kappa import cohen, fleiss, specific

# Fleiss, Psychological Bulletin 76, 1971, table 1: thirty patients, six psychiatrists each, five diagnoses.
DIAGNOSES = """00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031 00501
30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"""
# A worked example of many, with ten subjects, fourteen raters and five categories.
WORKED = ((0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
          (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7))  # fmt: skip


def test_cohens_kappa_and_its_interval_are_those_that_sas_prints() -> None:
    found = cohen([[0, 4, 1], [0, 8, 0], [0, 1, 5]])  # SAS PROC FREQ, simple kappa coefficient
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.4842, 0.2137, 0.7547), abs=5e-5)
    assert found.of == 19


def test_fleiss_kappa_is_the_published_one() -> None:
    patients = [[int(digit) for digit in row] for row in DIAGNOSES.split()]
    for table, published in ((patients, 0.430), (WORKED, 0.210)):
        found = fleiss(table)
        assert found is not None
        assert found.value == pytest.approx(published, abs=5e-4)


def test_the_interval_of_many_agrees_with_a_jackknife() -> None:
    drawn = random.Random(3)
    faces = [[0, 0, 0] for _ in range(80)]
    for face in faces:
        truth = drawn.randrange(3)
        for _ in range(drawn.choice((2, 3))):
            face[truth if drawn.random() < 0.7 else drawn.randrange(3)] += 1
    found = fleiss(faces)
    assert found is not None
    left_out = [fleiss(faces[:i] + faces[i + 1 :]) for i in range(len(faces))]
    values = [one.value for one in left_out if one is not None]
    error = ((len(faces) - 1) / len(faces) * sum((v - fmean(values)) ** 2 for v in values)) ** 0.5
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.05)


def test_nothing_is_claimed_where_everybody_always_says_the_same() -> None:
    assert cohen([[7, 0], [0, 0]]) is None
    assert cohen([[0, 0], [0, 0]]) is None
    assert fleiss([[2, 0]] * 5) is None
    assert fleiss([]) is None
    full = cohen([[5, 0], [0, 5]])
    assert full is not None
    assert (full.value, full.low, full.high) == (1.0, 1.0, 1.0)


def test_specific_agreement_is_twice_the_shared_over_all_mentions() -> None:
    # two people: 20 both yes, 15 both no, 15 apart: 2·20/(2·20 + 15) and 2·15/(2·15 + 15)
    faces = [[2, 0]] * 20 + [[0, 2]] * 15 + [[1, 1]] * 15
    assert specific([[*face, 0] for face in faces]) == [pytest.approx(40 / 55), pytest.approx(30 / 45), None]
