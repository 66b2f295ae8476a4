"""The word lists of ``words/*.yaml``. The files name their sources and limits."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from pydantic import Field

from tasks.core.params import P, Params, parse, read_yaml

FOLDER = Path(__file__).parent / "words"

Words = list[str]


class Names(Params):
    """``by_sex``: female, male → names; ``by_race``: group → female, male, unknown → names. Lower case."""

    by_sex: dict[str, Words]
    by_race: dict[str, dict[str, Words]]

    def of_race(self, group: str) -> Words:
        return [name for names in self.by_race[group].values() for name in names]


class Gender(Params):
    """Pairs (male, female), and the words that count as a mention of each."""

    pronouns: list[Words]
    terms: list[Words]
    mentions: dict[str, Words]

    def female_pronouns(self) -> dict[str, str]:
        """Male pronouns → female ones."""
        return {pair[0]: pair[1] for pair in self.pronouns}

    def swaps(self) -> dict[str, str]:
        """Every word → its counterpart, in both directions; if a word is in several pairs, the last pair counts."""
        pairs = [(male, female) for male, female in self.pronouns + self.terms]
        return dict(pairs) | {female: male for male, female in pairs}


class Dialect(Params):
    replacements: dict[str, Words]


class Contractions(Params):
    """Contraction → expansion."""

    both: dict[str, str]
    expand: dict[str, str]


class Fillers(Params):
    fillers: Words


class Keyboard(Params):
    neighbours: dict[str, str]


class Demographics(Params):
    surnames: dict[str, Words]
    adjectives: Words = Field(min_length=1)
    professions: Words = Field(min_length=1)


def _load(model: type[P], name: str) -> P:
    path = FOLDER / f"{name}.yaml"
    return parse(model, read_yaml(path), path)


@cache
def names() -> Names:
    return _load(Names, "names")


@cache
def gender() -> Gender:
    return _load(Gender, "gender")


@cache
def dialect() -> Dialect:
    return _load(Dialect, "dialect")


@cache
def contractions() -> Contractions:
    return _load(Contractions, "contractions")


@cache
def fillers() -> Fillers:
    return _load(Fillers, "fillers")


@cache
def keyboard() -> Keyboard:
    return _load(Keyboard, "keyboard")


@cache
def demographics() -> Demographics:
    return _load(Demographics, "demographics")


@cache
def pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Matches any of ``words`` as a whole word, whatever its case, also at either end of a text; longer ones first."""
    ordered = sorted(words, key=lambda word: (-len(word), word))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, ordered))})(?![\w-])", re.IGNORECASE)


def in_case_of(model: str, word: str) -> str:
    """Write ``word`` in the case of ``model``: in capitals, with a capital, or as it is."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
