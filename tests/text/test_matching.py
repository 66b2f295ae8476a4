"""The key of a text for matching, by hand."""

from __future__ import annotations

import pytest

from tasks.text.matching import match_key, without_numbers
from tasks.text.words import normalise
from tests.text.ascii_texts import ascii_texts

WORDS = " ".join(f"w{'abcdefghijklmnopqrstuvwxyz'[i]}" for i in range(20))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Тhе сat sat", "the cat sat"),  # Cyrillic capital Te, ie, es
        ("Ιt is αt hοme", "it is at home"),  # Greek
        ("ДОМ и сад", "дом и сад"),  # a text in Russian keeps its letters
        ("Он сказал: hello", "он сказал hello"),
        ("Anna: hi\nBen Smith: well", "speaker hi speaker well"),
        ("\tCustomer:\thi\n\tAgent:\twell", "speaker hi speaker well"),
        ("#Person1#: hi\n**Person 2**: well", "speaker hi speaker well"),
        ("安娜：你好\n本：好", "speaker 你 好 speaker 好"),
        ("Positive: a film", "positive a film"),  # one label is no dialogue
        ("at 12:30\nat 13:45", "at 12 30 at 13 45"),
        ("http://a.b\nhttp://c.d", "http a b http c d"),
        ("?!", "?!"),
    ],
)
def test_a_key_by_hand(text: str, key: str) -> None:
    assert match_key(text) == key
    assert normalise(key) == key


def test_a_key_of_a_text_without_labels_is_its_normal_form() -> None:
    texts = [text for text in ascii_texts() if ":" not in text]
    assert len(texts) > 500 and [match_key(text) for text in texts] == [normalise(text) for text in texts]


def test_numbers_are_one_token_in_a_long_text() -> None:
    assert without_numbers(f"{WORDS} 3 5 and 12") == f"{WORDS} 0 and 0"
    assert without_numbers(WORDS) is None, "no number"
    assert without_numbers(f"{WORDS.removesuffix(' wt')} 3") is None, "19 other words"
