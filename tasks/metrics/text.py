"""How texts are made comparable, word by word."""

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
    """A label as it is compared: without case, surrounding space and quotes, and the final full stop."""
    return " ".join(text.casefold().split()).strip(" .\"'")


def squad(text: str) -> str:
    """Without case, punctuation, articles and double spaces (the evaluation script of SQuAD 1.1, Rajpurkar et al.
    2016, ``normalize_answer``)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def words(text: str) -> list[str]:
    """Words in small letters, ``don't`` being one."""
    return _WORD.findall(text.lower())


def ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def denies(text: str) -> bool:
    """Whether it has one of the words that deny (``words.yaml``)."""
    return any(word.replace("’", "'") in _NEGATIONS for word in words(text))


def numbers(text: str) -> Counter[str]:
    """The numbers that a text names, in digits or in the words of ``words.yaml``, and how often each."""
    found = Counter(number.replace(",", "") for number in _NUMBER.findall(text))
    found.update(str(_LISTS["numbers"][word]) for word in words(text) if word in _LISTS["numbers"])
    return found


def entity_counts(said: str, reference: str) -> tuple[int, int, int]:
    """Entities that both name, that the text names, that the reference names."""
    ours, theirs = entities(said), entities(reference)
    return len(ours & theirs), len(ours), len(theirs)


def entities(text: str) -> set[tuple[str, str]]:
    """(name, type) in small letters of every line that is ``name: type``."""
    found = set()
    for line in text.lower().splitlines():
        name, colon, kind = (part.strip() for part in line.rpartition(":"))
        if colon and name and kind:
            found.add((name, kind))
    return found


def entity_score(counts: Iterable[int]) -> float:
    """F1 from the sums of ``entity_counts``; 1 where there is nothing to find and nothing was said."""
    right, said, true = counts
    return float(2 * right / (said + true)) if said + true else 1.0
