"""Words and the normalisation: texts of many scripts by hand, and plain ASCII as the libraries see it."""

from __future__ import annotations

import re

import pytest
from rouge_score.tokenize import tokenize

from tasks.text.words import (
    clean,
    decoded,
    has_words,
    normalise,
    spaced,
    stands_alone,
    words,
)
from tests.text.ascii_texts import ascii_texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop_NOW, 3.5!", ["don", "t", "stop", "now", "3", "5"]),
        ("Größe für Élodie", ["grösse", "für", "élodie"]),
        ("e\u0301te\u0301", ["été"]),  # letters with separate accents
        ("ﬁne \uff21\uff22 \u2163", ["fine", "ab", "iv"]),  # a ligature, wide letters, a Roman numeral
        ("ΟΔΟΣ οδός", ["οδοσ", "οδόσ"]),
        ("हिन्दी में।", ["हिन्दी", "में"]),  # vowel signs belong to their word
        ("مرحبا، بالعالم؟", ["مرحبا", "بالعالم"]),
        ("안녕하세요 여러분", ["안녕하세요", "여러분"]),
        ("今天GPT4，好。", ["今", "天", "gpt4", "好"]),
        ("ﾃｽﾄです", ["テ", "ス", "ト", "で", "す"]),
        ("か\u3099", ["が"]),
        ("แมวกิน", ["แม", "ว", "กิ", "น"]),  # vowels and marks belong to their consonant
        ("เก่า นี้", ["เก่า", "นี้"]),
        ("👍🏽👍!", ["👍🏽", "👍"]),
        ("ok 👍🏽", ["ok"]),  # beside words, an emoji is like punctuation
        ("❤\ufe0f ❤", ["❤", "❤"]),  # with and without the selector of its colour
        ("👨\u200d👩", ["👨", "👩"]),
        ("Zu\u00adcker zero\u200bwidth", ["zucker", "zerowidth"]),
        ("?! … → ©", []),
    ],
)
def test_words_by_hand(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert has_words(text) == bool(expected)


def test_words_of_ascii_are_those_of_rouge_score() -> None:
    texts = ascii_texts()
    assert [words(text) for text in texts] == [tokenize(text, None) for text in texts]
    assert [has_words(text) for text in texts] == [bool(words(text)) for text in texts]


def test_spaced_keeps_the_given_characters() -> None:
    assert spaced("Don’t a_b-c 今天", "_'").split() == ["don't", "a_b", "c", "今", "天"]
    every = "".join(map(chr, range(128)))
    assert all(spaced(text, every) == text.lower() for text in ascii_texts())


@pytest.mark.parametrize(
    ("text", "alone"), [("今", True), ("กิ", True), ("👍🏽", True), ("я", False), ("a", False), ("한", False)]
)
def test_words_of_one_character(text: str, alone: bool) -> None:
    assert stands_alone(text) == alone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a &amp; b &#39;c&#x27; &lt;d&gt;", "a & b 'c' <d>"),
        ("R&D, AT&T; &unknown; &notit; &amp", "R&D, AT&T; &unknown; &notit; &amp"),
        ("Fish&nbsp;Chips", "Fish\xa0Chips"),
    ],
)
def test_entities_are_decoded_only_where_they_are_meant(text: str, expected: str) -> None:
    assert decoded(text) == expected


def test_a_clean_text_differs_in_encoding_alone() -> None:
    assert clean("“It’s” \ufeffﬁne\u200b&amp;\u00a0Ｏ.K.") == '"It\'s" fine& O.K.'
    assert clean("Ünï «So»\u2026") == 'Ünï "So"...'
    assert all(clean(text) == text for text in ascii_texts() if not re.search(r"&\w+;|&#\d+;", text))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  The CAT,\n sat! ", "the cat sat"),
        ("AT&amp;T &quot;now&quot;", "at t now"),
        ("“don’t”", "don t"),
        ("👍👍", "👍 👍"),
        ("Great 👍", "great"),
        ("?!", "?!"),  # no word at all: the text itself
        ("！？", "!?"),
        (" \n\u200b", ""),
    ],
)
def test_a_normalised_text(text: str, normal: str) -> None:
    assert normalise(text) == normal
