"""The key by which the contamination check compares texts: texts that a person calls the same have one key.

Beyond ``normalise``, a key ignores two changes. Letters of other scripts that look like Latin ones are Latin, and the
speakers of a dialogue have one label. Keys are for matching alone; no row is changed.
"""

from __future__ import annotations

import re

from tasks.text.words import normalise

_LOOKALIKES = {
    "a": "ΑαАаɑ",
    "b": "ΒВЬ",
    "c": "Сс",
    "d": "ԁ",
    "e": "ΕЕеҽ",
    "f": "Ϝք",
    "g": "Ԍցɡ",
    "h": "ΗНһհ",
    "i": "ΙιІіӏɩɪ",
    "j": "ͿϳЈј",
    "k": "ΚК",
    "l": "Ӏ",
    "m": "ΜϺМ",
    "n": "Νոռ",
    "o": "ΟοσОоՕօ",
    "p": "ΡρРр",
    "q": "ԛգզ",
    "r": "г",
    "s": "ЅѕՏ",
    "t": "ΤТ",
    "u": "υՍսʋ",
    "v": "νѴѵ",
    "w": "ѡԜԝա",
    "x": "ΧХх",
    "y": "ΥγУуҮү",
    "z": "Ζ",
}
"""Latin letter → letters of Greek, Cyrillic, Armenian and the phonetic alphabet that look like it.

They are the single letters of ``confusables.txt`` (Unicode Technical Standard 39, version 15.1, Unicode License v3)
that NFKC leaves as they are. Its prototype of a capital I is l; here it is i."""

_TO_LATIN = {ord(other): latin for latin, others in _LOOKALIKES.items() for other in others}
_OTHER_SCRIPT = re.compile(r"[\u0370-\u058F]")
_LATIN = re.compile(r"[A-Za-z]")

_LABEL = re.compile(r"^[ \t>*#\[(]*[^\W\d][\w .'’-]{0,29}[\])*#]*[ \t]*(?::(?!\S)|：)", re.MULTILINE)
"""A speaker's label at the start of a line: ``Anna: ``, ``#Person1#: ``, ``**Person A**: ``."""

_NUMBERS = re.compile(r"\d+(?: \d+)*")

NUMBERS_FROM = 20
"""Fewest words besides numbers in a text for which ``without_numbers`` gives a key.

A shorter text with another number is a different example, such as a sum or a date."""


def match_key(text: str) -> str:
    """The words of ``text`` (``normalise``), with look-alikes as Latin letters and one label for all speakers.

    A text with one label is no dialogue: ``Positive: a great film`` keeps its label.
    """
    if ":" in text or "：" in text:
        unlabelled, labels = _LABEL.subn(" speaker ", text)
        text = unlabelled if labels > 1 else text
    return normalise(text if text.isascii() else _latin(text))


def _latin(text: str) -> str:
    # A text in Greek keeps its letters: their capitals look like other Latin letters than their small ones.
    if len(_OTHER_SCRIPT.findall(text)) < len(_LATIN.findall(text)):
        return text.translate(_TO_LATIN)
    return text


def without_numbers(key: str) -> str | None:
    """``key`` (``match_key``) with the same token for every number.

    None if it has no number, or fewer than ``NUMBERS_FROM`` other words.
    """
    masked, numbers = _NUMBERS.subn("0", key)
    return masked if numbers and len(masked.split()) - numbers >= NUMBERS_FROM else None
