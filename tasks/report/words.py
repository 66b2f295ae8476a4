"""Mark the words of an output that its reference does not have in that order."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import regex
from markupsafe import Markup, escape

_TOKEN = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*|[\w\p{M}]+|\s+|.")
"""A word, a character of a script without spaces, white space, or another character."""

MOST = 600
"""Longer texts, in words, are not marked: the comparison takes time that grows with the square of their length."""


def marked(output: str, references: Sequence[str]) -> Markup:
    """``output`` as HTML, with ``<mark>`` around the words that the most similar of ``references`` lacks.

    Case and punctuation do not count.
    """
    tokens = _TOKEN.findall(output)
    words = [number for number, token in enumerate(tokens) if _is_word(token)]
    if not references or not words or len(words) > MOST:
        return escape(output)
    ours = [tokens[number].casefold() for number in words]
    kept = max((_kept(ours, _words(reference)) for reference in references), key=len)
    return _joined(tokens, {words[number] for number in range(len(words)) if number not in kept})


def _words(text: str) -> list[str]:
    return [token.casefold() for token in _TOKEN.findall(text) if _is_word(token)]


def _is_word(token: str) -> bool:
    return token[0].isalnum()


def _kept(ours: list[str], theirs: list[str]) -> set[int]:
    """Positions of the words of ``ours`` that ``theirs`` has in the same order."""
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return {position for block in blocks for position in range(block.a, block.a + block.size)}


def _joined(tokens: list[str], extra: set[int]) -> Markup:
    """The tokens with one ``<mark>`` around each run of extra words and what stands between them."""
    parts: list[str] = []
    number = 0
    while number < len(tokens):
        if number not in extra:
            parts.append(escape(tokens[number]))
            number += 1
            continue
        end = number
        for following in range(number, len(tokens)):
            if following in extra:
                end = following
            elif _is_word(tokens[following]):
                break
        parts.append(f"<mark>{escape(''.join(tokens[number : end + 1]))}</mark>")
        number = end + 1
    return Markup("".join(parts))
