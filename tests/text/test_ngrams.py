"""Overlap of n-grams, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.text.minhash import NearDuplicateParams, NgramSets
from tasks.text.ngrams import NONE, NgramIndex, WordHashes, ngrams


def index(texts: list[str], n: int, words: WordHashes) -> NgramIndex:
    return NgramIndex(*words.hashed(texts), n)


def shares(evaluation: list[str], training: list[str], n: int, common: int = 10) -> tuple[list[float], list[int]]:
    words = WordHashes()
    matches = index(evaluation, n, words)
    for number, text in enumerate(training):
        matches.add(*words.hashed([text]), [number])
    share, worst = matches.shares(common)
    return share.tolist(), worst.tolist()


def test_ngrams_stay_within_their_text() -> None:
    words = WordHashes()
    hashes, text_of = ngrams(*words.hashed(["a b c", "d", "", "b c d e"]), 2)
    assert text_of.tolist() == [0, 0, 3, 3, 3]
    assert hashes[1] == hashes[2], "b c"
    assert len(set(hashes.tolist())) == 4
    assert ngrams(*words.hashed(["b a"]), 2)[0][0] not in hashes.tolist(), "the order of words counts"
    assert ngrams(*words.hashed(["a"]), 2)[0].tolist() == []


def test_shares_are_those_of_the_different_ngrams() -> None:
    """Of the 2-grams ab bc cd de, training holds bc and cd; of aa (twice, one n-gram) and ab it holds ab."""
    share, worst = shares(["a b c d e", "a a a b", "x y z", "x"], ["q b c d", "a b"], 2)
    assert share[:3] == [0.75, 0.5, 0.0] and np.isnan(share[3])
    assert worst == [0, 1, NONE, NONE]


def test_one_of_thirteen_words_changed_leaves_no_13_gram() -> None:
    text = "the quick brown fox jumps over the lazy dog near a river bank today"  # 14 words
    changed = text.replace("quick", "slow")
    assert shares([text], [changed], 13)[0] == [0.0]
    assert shares([text], [changed], 8)[0] == [pytest.approx(5 / 7)], "7 8-grams, of which two hold the second word"
    assert shares([text], ["at noon " + text], 13)[0] == [1.0]


def test_a_set_phrase_on_both_sides_does_not_count() -> None:
    phrase = "how can i help you"
    few, many = ([f"{phrase} {i} {side}" for i in range(n)] for side, n in (("x", 2), ("y", 4)))
    assert shares(many, many, 5, common=3)[0] == pytest.approx([2 / 3] * 4), "the phrase is one of three 5-grams"
    assert shares(few, many, 5, common=3)[0] == pytest.approx([2 / 3] * 2), "only in many training texts: it counts"
    assert shares(many, few, 5, common=3)[0] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3]), "only in many tests"


def test_the_worst_training_text_holds_the_most_ngrams() -> None:
    evaluation = ["a b c d e f g h"]
    assert shares(evaluation, ["a b c", "d e f g h", "x"], 2)[1] == [1]
    assert shares(evaluation, ["g h", "a b"], 2)[1] == [0], "of equals the first"


def test_words_hash_equally_in_every_process() -> None:
    assert WordHashes()["lamp"] == 0x2AFC15E301F7046B


def test_hashes_stay_those_that_stored_signatures_were_made_from() -> None:
    """Overlap and MinHash hash words and n-grams alike; MinHash mixes the bits, sorts, and keeps one of equal ones."""
    hashes, _ = ngrams(*WordHashes().hashed(["the cat sat", "cat"]), 2)
    assert hashes.tolist() == [0x2AE81DEF3B7FA5F5, 0xBE887F4E6BF946B0]
    sets = NgramSets.of(["the cat sat", "cat", "the cat the cat"], NearDuplicateParams(ngram=2))
    assert sets.counts.tolist() == [2, 1, 2]
    assert sets.hashes.tolist() == [
        *(0x71A7D37DA3AD0909, 0xBBDDC5F82E6CA70C),
        0xB87C42208BC0C6D5,  # a text of fewer than n words is one n-gram
        *(0xBBDDC5F82E6CA70C, 0xF33BE27A6A753305),
    ]
    assert sets.signatures[:, :2].tolist() == [
        [1370459463, 1403264021],
        [233350332, 2781989752],
        [1006067291, 1995270520],
    ]
