"""Vocabularies: names that mean the same, and mappings that never guess."""

from __future__ import annotations

import pytest

from mmfrm.classes import (
    FERPLUS,
    RAF_DB,
    VOCABULARIES,
    canonical,
    default_mapping,
    mapping_indices,
    ordered,
    vocabulary_of,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("happy", "happiness"), ("Angry", "anger"), ("SURPRISED", "surprise"), ("3_sad", "sadness"),
        ("fearful", "fear"), ("not-a-face", "nf"), ("Happiness (5)", "happiness"), ("NF", "nf"),
    ],
)  # fmt: skip
def test_spellings_of_an_expression_have_one_name(written: str, meant: str) -> None:
    assert canonical(written) == meant


@pytest.mark.parametrize("written", ["", "train", "person_12", "happy or sad", "3"])
def test_what_is_no_expression_has_no_name(written: str) -> None:
    assert canonical(written) is None


def test_every_vocabulary_uses_canonical_names() -> None:
    for names in VOCABULARIES.values():
        assert [canonical(name) for name in names] == list(names)


def test_contempt_is_left_out_where_the_target_lacks_it() -> None:
    assert default_mapping(FERPLUS, RAF_DB)["contempt"] == ""
    indices = mapping_indices(FERPLUS, RAF_DB)
    assert indices == [6, 3, 0, 4, 5, 2, 1, None]


def test_synonyms_map_to_the_targets_own_spelling() -> None:
    assert default_mapping(["happiness"], ["sad", "happy"]) == {"happiness": "happy"}


def test_a_mapping_to_or_from_a_missing_class_is_refused() -> None:
    with pytest.raises(ValueError, match="boredom"):
        mapping_indices(FERPLUS, RAF_DB, {"boredom": "neutral"})
    with pytest.raises(ValueError, match="boredom"):
        mapping_indices(FERPLUS, RAF_DB, {"contempt": "boredom"})


def test_classes_have_a_stable_order() -> None:
    assert ordered(["zeal", "sadness", "awe", "neutral"]) == ("neutral", "sadness", "awe", "zeal")


def test_a_known_vocabulary_is_recognised_by_its_set() -> None:
    assert vocabulary_of(["happy", "sad", "angry", "neutral", "fear", "disgust", "surprise"]) == "RAF-DB"
    assert vocabulary_of(["happy", "sad"]) is None
