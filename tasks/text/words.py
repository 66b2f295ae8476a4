"""The words of a text in any script, and the one normalisation by which texts are compared.

In ASCII text a word is a run of ``[a-z0-9]`` in lower case, as in ``rouge-score``. In any script it is a run of
letters, marks and numbers (Unicode categories L, M, N). A character of a script without spaces between words (Chinese,
Japanese, Thai, ...) is a word of its own, with its marks and vowels. So is a pictograph (emoji), but only in a text
without any other word: beside words, it is like punctuation.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from functools import cache
from html.entities import html5

import regex

_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # signs that stand for ideographs
    (0x3040, 0x30FF),  # hiragana, katakana
    (0x31F0, 0x31FF),  # small katakana
    (0x3400, 0x4DBF),  # ideographs
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Burmese
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),  # ideographs
    (0x1B000, 0x1B16F),  # kana
    (0x20000, 0x3FFFF),  # ideographs
)
"""First and last code points of scripts that write no space between words (Unicode 16, chapters 16 and 18)."""

_VOWELS_BEFORE = frozenset("เแโใไເແໂໃໄ")
_VOWELS_AFTER = frozenset("ะาๅະາ")
"""Vowels of Thai and Lao that are letters of their own and belong to the next or the previous consonant.

A consonant with them is a character cluster (Theeramunkong et al. 2000, "Character cluster based Thai information
retrieval"). Single letters recur in nearly every text."""

_INVISIBLE = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0xFE00, 0xFE0F),  # variation selectors, such as the one that colours an emoji
    (0xE0100, 0xE01EF),
)
"""Invisible code points besides those of category Cf (zero-width spaces and joiners, soft hyphens, ...)."""

_QUOTES = {ord(quote): "'" for quote in "‘’‚‛‹›ʼ"} | {ord(quote): '"' for quote in "“”„‟«»「」『』〝〞〟"}
_PICTOGRAPH = regex.compile(r"[\p{Extended_Pictographic}\p{Regional_Indicator}--[©®]]", regex.V1)
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_ASCII_WORD = re.compile(r"[A-Za-z0-9]")

_TO_PREVIOUS, _TO_NEXT = "\0", "\1"
"""Stand beside a character that belongs to its neighbour, until the space between them is removed."""


class _Replacements(dict[int, str | None]):
    """Code point of a folded text → what ``spaced`` puts in its place; computed when it first comes."""

    def __init__(self, kept: str, pictographs: bool) -> None:
        super().__init__()
        self._kept, self._pictographs = kept, pictographs

    def __missing__(self, code: int) -> str | None:
        self[code] = value = self._replacement(code)
        return value

    def _replacement(self, code: int) -> str | None:
        character = _QUOTES.get(code, chr(code))
        kind = unicodedata.category(character)[0]
        if _is_invisible(code):
            return None
        if character in _VOWELS_AFTER or (kind == "M" and _is_within(code, _SPACELESS)):
            return f"{_TO_PREVIOUS}{character} "
        if character in _VOWELS_BEFORE:
            return f" {character}{_TO_NEXT}"
        if self._pictographs and code in _SKIN_TONES:
            return f"{_TO_PREVIOUS}{character} "
        if _is_spaceless(character) or (self._pictographs and _PICTOGRAPH.match(character)):
            return f" {character} "
        return character if kind in "LMN" or character in self._kept else " "


class _Clean(dict[int, str | None]):
    """Code point → what ``clean`` puts in its place."""

    def __missing__(self, code: int) -> str | None:
        self[code] = value = None if _is_invisible(code) else _QUOTES.get(code, chr(code))
        return value


_CLEAN = _Clean()
_replacements = cache(_Replacements)


def _is_within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= code <= high for low, high in ranges)


def _is_invisible(code: int) -> bool:
    return unicodedata.category(chr(code)) == "Cf" or _is_within(code, _INVISIBLE)


def stands_alone(word: str) -> bool:
    """Whether ``word`` is one character of a script without spaces, with its marks and vowels, or a pictograph."""
    return _is_spaceless(word[0]) or _PICTOGRAPH.match(word) is not None


def _is_spaceless(character: str) -> bool:
    return _is_within(ord(character), _SPACELESS) and unicodedata.category(character)[0] in "LMN"


def spaced(text: str, kept: str = "") -> str:
    """The words of ``text``, with spaces between them; a character of ``kept`` stays part of its word.

    Case, compatibility forms (NFKC), format characters and the shape of quotes do not count.

    Args:
        kept: ASCII characters beside letters, marks and numbers that stay.
    """
    if text.isascii():
        return text.lower().translate(_replacements(kept, False))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    separated = folded.translate(_replacements(kept, not any(map(str.isalnum, folded))))
    for neighbour in (f" {_TO_PREVIOUS}", _TO_PREVIOUS, f"{_TO_NEXT} ", _TO_NEXT):
        separated = separated.replace(neighbour, "")
    return separated


def words(text: str) -> list[str]:
    """The words of ``text``, as the docstring of this module defines them; punctuation separates them."""
    return spaced(text).split()


def has_words(text: str) -> bool:
    """Whether ``words`` finds one."""
    return _ASCII_WORD.search(text) is not None or (not text.isascii() and bool(words(text)))


def decoded(text: str) -> str:
    """``text`` with the HTML entities that end with a semicolon (``&amp;``, ``&#39;``) as their characters."""
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(entity: re.Match[str]) -> str:
    # html.unescape also takes "&notit;" for "¬it;".
    known = entity[0][1] == "#" or entity[0][1:] in html5
    return html.unescape(entity[0]) if known else entity[0]


def clean(text: str) -> str:
    """``text`` as a reader sees it: texts that differ only in their encoding become equal.

    HTML entities become their characters, compatibility forms are replaced (NFKC: ``ﬁ``, wide letters), quotes are
    straight, and format characters are left out. Case, spaces and punctuation stay.
    """
    text = decoded(text)
    return text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_CLEAN)


def normalise(text: str) -> str:
    """The words of ``text`` without HTML entities, separated by single spaces.

    In a text without any word, such as ``?!``, only case, encoding (``clean``) and spaces are folded, so that two of
    them stay different.
    """
    return " ".join(words(decoded(text))) or " ".join(clean(text).casefold().split())


def hash64(text: str) -> int:
    """A 64-bit hash, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
