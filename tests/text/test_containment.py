"""Texts that contain others, by hand."""

from __future__ import annotations

import pytest

from tasks.text.containment import ContainedTexts
from tasks.text.ngrams import WordHashes


def sequence(letter: str, count: int, first: int = 0) -> str:
    return " ".join(f"{letter}{i}" for i in range(first, first + count))


def contained(evaluation: list[str], training: list[str], share: float = 0.45, common: int = 10) -> list[int]:
    words = WordHashes()
    index = ContainedTexts(*words.hashed(evaluation), share, common)
    index.count(*words.hashed(training))
    return index.query(*words.hashed(training)).tolist()


@pytest.mark.parametrize(
    ("length", "shared", "expected"),
    [
        (7, 7, -1),  # no 8-gram
        (8, 8, 0),
        (12, 12, 0),
        (12, 11, -1),
        (20, 13, 0),
        (20, 12, -1),
        (100, 45, 0),
        (100, 44, -1),
    ],
)
def test_a_long_part_or_the_whole_of_a_short_text_is_contained(length: int, shared: int, expected: int) -> None:
    assert contained([sequence("a", length)], [f"x y {sequence('a', shared)} z"]) == [expected]


def test_the_text_of_the_largest_share_counts_and_of_equals_the_first() -> None:
    evaluation = [sequence("a", 40), sequence("b", 30), sequence("c", 30)]
    training = [
        f"{sequence('a', 20)} {sequence('b', 20)}",
        f"{sequence('c', 30)} {sequence('b', 30)}",
        sequence("d", 30),
        "",
    ]
    assert contained(evaluation, training) == [1, 1, -1, -1]


def test_an_ngram_that_is_common_on_both_sides_does_not_count() -> None:
    evaluation = [f"{sequence('a', 20)} {sequence(f'e{i}', 4)}" for i in range(3)]
    training = [f"{sequence(f't{i}', 9)} {sequence('a', 20)}" for i in range(3)]
    assert contained(evaluation, training, common=3) == [0, 0, 0]
    assert contained(evaluation, training, common=2) == [-1, -1, -1]
    assert contained(evaluation, training[:2], common=2) == [0, 0], "common on one side alone"


def test_a_set_phrase_is_the_same_in_every_batch() -> None:
    """One query at a time gives what one query of all texts gives."""
    evaluation = [f"{sequence('a', 20)} {sequence(f'e{i}', 4)}" for i in range(3)]
    training = [f"{sequence(f't{i}', 9)} {sequence('a', 20)}" for i in range(3)]
    words = WordHashes()
    index = ContainedTexts(*words.hashed(evaluation), 0.45, 2)
    assert index.may_have_set_phrases and not ContainedTexts(*words.hashed(evaluation), 0.45, 3).may_have_set_phrases
    for text in training:
        index.count(*words.hashed([text]))
    assert [index.query(*words.hashed([text])).tolist() for text in training] == [[-1]] * 3


def test_nothing_is_contained_in_nothing() -> None:
    assert contained([], [sequence("a", 20)]) == [-1]
    assert contained([sequence("a", 20)], []) == []
    assert contained(["a"], ["a"]) == [-1]
