"""Expression vocabularies and explicit mappings between them. Standard library only.

Data sets differ in the names of expressions (happy/happiness), in their order and in whether contempt is
among them. A class index therefore means nothing without its vocabulary, and nothing here maps by index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RAF_DB = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # labels 1…7
FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
FER2013 = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # labels 0…6
AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
AFFECTNET7 = AFFECTNET[:7]
CK_PLUS = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")  # 0…7
CK_PLUS48 = CK_PLUS[1:]  # the 48 × 48 class folders in circulation have no neutral
EXPW = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # labels 0…6
JAFFE = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")  # AN DI FE HA NE SA SU
KDEF = ("fear", "anger", "disgust", "happiness", "neutral", "sadness", "surprise")  # AF AN DI HA NE SA SU
DRAWN = FERPLUS[:7]

VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    "RAF-DB": RAF_DB,
    "FERPlus": FERPLUS,
    "FER2013": FER2013,
    "AffectNet": AFFECTNET,
    "AffectNet-7": AFFECTNET7,
    "CK+": CK_PLUS,
    "CK+48": CK_PLUS48,
    "ExpW": EXPW,
    "JAFFE": JAFFE,
    "KDEF": KDEF,
    "drawn": DRAWN,
}

EXPRESSIONS = FERPLUS  # the eight canonical names, in the order people see them

LEFT_OUT = "left out"  # the column of votes for classes that an import left out: they count, for nothing
NOT_AN_EXPRESSION = ("unknown", "nf", LEFT_OUT)  # vote columns that are no class: cannot tell, not a face
MOST_CLASSES = 64  # that a network tells apart

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "neutral": ("neutrality", "ne", "neu", "no expression", "calm", "natural"),
    "happiness": ("happy", "ha", "hap", "joy", "joyful", "smile", "smiling"),
    "surprise": ("surprised", "su", "sur", "suprise", "surprize"),
    "sadness": ("sad", "sa", "unhappy"),
    "anger": ("angry", "an", "ang", "mad"),
    "disgust": ("disgusted", "di", "dis"),
    "fear": ("fearful", "fe", "afraid", "scared", "fearfulness"),
    "contempt": ("contemptuous", "co", "con", "contemptful"),
    "unknown": ("uncertain", "unsure", "unk"),
    "nf": ("not a face", "no face", "non face", "noface", "notface"),
    LEFT_OUT: (),
}
_CANONICAL = {name: name for name in _SYNONYMS} | {
    synonym: name for name, synonyms in _SYNONYMS.items() for synonym in synonyms
}


def canonical(name: str) -> str | None:
    """The canonical name of an expression ("Happy" -> "happiness"), or None where it is not known."""
    plain = _plain(name)
    if plain in _CANONICAL:
        return _CANONICAL[plain]
    # "3_happy", "happy (0)" and "Happiness faces" are how people name folders
    words = [word.strip("()[]0123456789.") for word in plain.split()]
    found = {_CANONICAL[word] for word in words if len(word) > 2 and word in _CANONICAL}
    return found.pop() if len(found) == 1 else None


def _plain(name: str) -> str:
    return " ".join(name.strip().lower().replace("_", " ").replace("-", " ").split())


def is_expression(name: str) -> bool:
    """Whether a name is one of the eight expressions under any of its spellings."""
    return canonical(name) in EXPRESSIONS


def ordered(names: Sequence[str]) -> tuple[str, ...]:
    """Class names in a stable order: expressions in canonical order, then the others by alphabet."""
    known = [name for name in EXPRESSIONS if name in names]
    return (*known, *sorted(name for name in set(names) if name not in EXPRESSIONS))


def default_mapping(source: Sequence[str], target: Sequence[str]) -> dict[str, str]:
    """Source class -> target class of the same expression, "" where the target has none.

    This is a proposal to look at: contempt becomes "" (left out) where the target lacks it, never a
    neighbour.
    """
    by_meaning = {canonical(name) or name: name for name in target}
    return {name: by_meaning.get(canonical(name) or name, "") for name in source}


def mapping_indices(
    source: Sequence[str], target: Sequence[str], mapping: Mapping[str, str] | None = None
) -> list[int | None]:
    """For each source class, its index in `target`, or None where it is left out.

    `mapping` overrides the default by source name; "" leaves a class out.
    Raises ValueError for a name that either side does not have.
    """
    chosen = default_mapping(source, target) | dict(mapping or {})
    for name, goal in chosen.items():
        if name not in source:
            raise ValueError(f"{name!r} is not a class of the data; it has {', '.join(source)}")
        if goal and goal not in target:
            raise ValueError(f"{goal!r} is not a class of the target; it has {', '.join(target)}")
    return [target.index(chosen[name]) if chosen[name] else None for name in source]


def class_name(given: str) -> str:
    """What a class is called that people call so: a usual spelling of an expression ("joy") is that one.

    Raises ValueError where it is empty, or says "no expression".
    """
    plain = " ".join(given.split())
    known = _CANONICAL.get(_plain(plain), plain)
    if not known:
        raise ValueError("Give it a name, or leave it out")
    if known in NOT_AN_EXPRESSION:
        raise ValueError(f"{plain!r} names no expression. Leave it out instead")
    return known


def renamed(source: Sequence[str], names: Mapping[str, str]) -> list[str | None]:
    """What each class is called once `names` (class -> name, "" leaves it out) are given; None: left out.

    Classes under one name become one. Raises ValueError for a class that is not there, for what
    `class_name` refuses, and where not 2 to 64 classes stay.
    """
    if strange := [name for name in names if name not in source]:
        raise ValueError(f"{strange[0]!r} is not a class of the source; it has {', '.join(source)}")
    given = {name: names.get(name, name).strip() for name in source}
    found = [class_name(given[name]) if given[name] else None for name in source]
    count = len({name for name in found if name})
    if count < 2:
        raise ValueError(f"{count or 'no'} class would stay; a data set needs at least two")
    if count > MOST_CLASSES:
        raise ValueError(f"{count} classes would stay; a network tells at most {MOST_CLASSES} apart")
    return found


def vocabulary_of(names: Sequence[str]) -> str | None:
    """The known vocabulary with exactly these expressions, whatever their order, or None."""
    wanted = {canonical(name) for name in names}
    return next((title for title, known in VOCABULARIES.items() if set(known) == wanted), None)
