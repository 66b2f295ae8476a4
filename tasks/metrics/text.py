"""Texts made comparable: labels, words and entities."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
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
