"""Where sentences end, in several scripts."""

from __future__ import annotations

import re

import pytest

from tasks.metrics.sentences import _ANY_END, sentences, sentences_and_lines
from tests.text.ascii_texts import ascii_texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two!  Three?\nFour 3.5 five.", ["One.", "Two!", "Three?", "Four 3.5 five."]),
        ("今天很好。我们走吧！「好。」他说。", ["今天很好。", "我们走吧！", "「好。」", "他说。"]),
        ("यह है। वह है।", ["यह है।", "वह है।"]),
        ("كيف حالك؟ بخير.", ["كيف حالك؟", "بخير."]),
        ("真的？！好。", ["真的？！", "好。"]),
    ],
)
def test_sentences_by_hand(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_sentences_of_ascii_end_before_a_space() -> None:
    for text in ascii_texts():
        assert sentences(text) == _ANY_END.split(text) == re.split(r"(?<=[.!?])\s+", text)
        assert sentences_and_lines(text) == re.split(r"(?<=[.!?])\s+|\n+", text)
