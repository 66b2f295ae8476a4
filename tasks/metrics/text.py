"""Texts made comparable: labels, words and entities."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

from tasks.metrics.sentences import CLOSE_STOPS, FULL_STOPS
from tasks.text.words import clean, decoded, spaced

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ASCII = "".join(map(chr, range(128)))
_WORD = re.compile(r"[^\s']+(?:'[^\s']+)*")
_ITEM = re.compile(r"^\s*(?:[-*–]\s+|[•‣◦▪●・]\s*|\(?\d{1,3}[.)]\s+)")


def answer(text: str) -> str:
    """A label without case, surrounding space and quotes, and the punctuation that ends a sentence, in any script.

    Encoding (``tasks.text.words.clean``) does not count. A label of such punctuation alone, such as ``?``, keeps it.
    """
    folded = " ".join(clean(text).casefold().split())
    return folded.lstrip(" .\"'").rstrip(f" \"'{FULL_STOPS}{CLOSE_STOPS}") or folded.strip(" \"'")


def squad(text: str) -> str:
    """``text`` without case, punctuation, articles and double spaces.

    On ASCII text without HTML entities, this is ``normalize_answer`` in the evaluation script of SQuAD 1.1 (Rajpurkar
    et al. 2016). In other scripts, punctuation separates words, and words are those of ``tasks.text.words``.
    """
    return " ".join(_ARTICLES.sub(" ", spaced(decoded(text), _ASCII).translate(_PUNCTUATION)).split())


def words(text: str) -> list[str]:
    """The words of any script (``tasks.text.words``) in lower case, where ``don't`` is one word."""
    return _WORD.findall(spaced(text, "_'"))


def runs(text: str) -> list[str]:
    """The words of any script (``tasks.text.words``) in lower case, where ``don't`` is two words and ``a_b`` is one."""
    return spaced(text, "_").split()


def ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def entity_counts(output: str, reference: str) -> tuple[int, int, int]:
    """Number of entities in both texts, in ``output``, and in ``reference``."""
    predicted, true = entities(output), entities(reference)
    return len(predicted & true), len(predicted), len(true)


def entities(text: str) -> set[tuple[str, str]]:
    """(name, type), in lower case, of every line of the form ``name: type``.

    The bullet or number of a list item (``-``, ``*``, ``•``, ``1.``, ``2)``) and the encoding (``clean``) do not count.
    """
    pairs = set()
    for line in text.splitlines():
        item = clean(_ITEM.sub("", line, count=1)).casefold()
        name, colon, kind = (part.strip() for part in item.rpartition(":"))
        if colon and name and kind:
            pairs.add((name, kind))
    return pairs


def entity_score(counts: Iterable[int]) -> float:
    """F1 from the sums of ``entity_counts``; 1 if neither side has an entity."""
    right, predicted, true = counts
    return float(2 * right / (predicted + true)) if predicted + true else 1.0
