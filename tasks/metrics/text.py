"""How texts are made comparable, word by word."""

from __future__ import annotations

import re
import string
from collections import Counter
from pathlib import Path

from tasks.params import read_yaml

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
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
