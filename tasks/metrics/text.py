"""Texts made comparable: labels, words, numbers, negations and entities."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tasks.core.params import read_yaml

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NUMBER = re.compile(r"(?<!\w)\d+(?:[.,:]\d+)*")  # not the 1 of "#Person1#"
_LISTS = read_yaml(Path(__file__).parent / "words.yaml")
_NEGATIONS = frozenset(_LISTS["negations"])
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def answer(text: str) -> str:
    """A label without case, surrounding space and quotes, and a final full stop."""
    return " ".join(text.casefold().split()).strip(" .\"'")


def squad(text: str) -> str:
    """``text`` without case, punctuation, articles and double spaces.

    As ``normalize_answer`` in the evaluation script of SQuAD 1.1 (Rajpurkar et al. 2016).
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def words(text: str) -> list[str]:
    """The words in lower case; ``don't`` is one word."""
    return _WORD.findall(text.lower())


def ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def has_negation(text: str) -> bool:
    """Whether ``text`` has a negation of ``words.yaml``."""
    return any(word.replace("’", "'") in _NEGATIONS for word in words(text))


def numbers(text: str) -> Counter[str]:
    """The numbers in a text, in digits or in the words of ``words.yaml``, with their counts."""
    counts = Counter(number.replace(",", "") for number in _NUMBER.findall(text))
    counts.update(str(_LISTS["numbers"][word]) for word in words(text) if word in _LISTS["numbers"])
    return counts


def entity_counts(output: str, reference: str) -> tuple[int, int, int]:
    """Number of entities in both texts, in ``output``, and in ``reference``."""
    predicted, true = entities(output), entities(reference)
    return len(predicted & true), len(predicted), len(true)


def entities(text: str) -> set[tuple[str, str]]:
    """(name, type), in lower case, of every line of the form ``name: type``."""
    pairs = set()
    for line in text.lower().splitlines():
        name, colon, kind = (part.strip() for part in line.rpartition(":"))
        if colon and name and kind:
            pairs.add((name, kind))
    return pairs


def entity_score(counts: Iterable[int]) -> float:
    """F1 from the sums of ``entity_counts``; 1 if neither side has an entity."""
    right, predicted, true = counts
    return float(2 * right / (predicted + true)) if predicted + true else 1.0
