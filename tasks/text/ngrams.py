"""Word n-grams as 64-bit hashes, and the share of evaluation texts' n-grams that occur in training texts.

As in GPT-3's check (Brown et al. 2020, appendix C), texts are compared without case and punctuation. No text is kept,
only hashes in sorted arrays. Two different n-grams share a hash with a probability of about (n-grams on one side) *
(n-grams on the other) / 2**64: 1e-6 for a million against ten million.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tasks.text.components import Numbers
from tasks.text.words import hash64

Hashes = NDArray[np.uint64]

BASE = np.uint64(0x9E3779B97F4A7C15)
"""Factor of the rolling hash; it is odd, so that every word counts in all bits of an n-gram's hash."""

NONE = np.iinfo(np.int64).max
"""Used as the number of a training text if there is none."""


class WordHashes(dict[str, int]):
    """Word → 64-bit hash, the same in every process; computed when a word first comes."""

    def __missing__(self, word: str) -> int:
        self[word] = value = hash64(word)
        return value

    def hashed(self, texts: Iterable[str]) -> tuple[Hashes, Numbers]:
        """Hashes of the words of normalised ``texts``, one text after the other, and the number of words per text."""
        words = [text.split() for text in texts]
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        return np.fromiter(map(self.__getitem__, chain(*words)), np.uint64, int(lengths.sum())), lengths


def ngrams(words: Hashes, lengths: Numbers, n: int) -> tuple[Hashes, Numbers]:
    """Hashes of the n-grams of each text, and for each n-gram the number of its text.

    A text of fewer than n words has no n-gram.

    Args:
        words, lengths: as ``WordHashes.hashed`` returns them.
    """
    size = len(words) - n + 1
    if size <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    rolled = np.zeros(size, np.uint64)
    for k in range(n):
        rolled = rolled * BASE + words[k : k + size]
    text_of = np.repeat(np.arange(len(lengths)), lengths)
    whole = text_of[:size] == text_of[n - 1 :]
    return rolled[whole], text_of[:size][whole]


class NgramIndex:
    """The n-grams of evaluation texts, and which of them occur in training texts.

    Training texts are added batch by batch; then ``shares`` tells the overlap.
    """

    def __init__(self, words: Hashes, lengths: Numbers, n: int) -> None:
        self.n = n
        self._texts = len(lengths)
        hashes, text_of = ngrams(words, lengths, n)
        self._known, numbers = np.unique(hashes, return_inverse=True)
        self._text_of, self._gram_of = different_pairs(text_of, numbers)
        self._training_texts = np.zeros(len(self._known), np.int64)
        self._first = np.full(len(self._known), NONE, np.int64)

    def add(self, words: Hashes, lengths: Numbers, numbers: Sequence[int] | Numbers) -> None:
        """Add training texts, each with its number. A text that is added twice counts twice."""
        hashes, text_of = ngrams(words, lengths, self.n)
        if not len(self._known) or not len(hashes):
            return
        position = np.minimum(np.searchsorted(self._known, hashes), len(self._known) - 1)
        known = self._known[position] == hashes
        texts, grams = different_pairs(text_of[known], position[known])
        self._training_texts += np.bincount(grams, minlength=len(self._known))
        np.minimum.at(self._first, grams, np.asarray(numbers)[texts])

    def shares(self, common: int) -> tuple[NDArray[np.float64], Numbers]:
        """For each evaluation text the share of its n-grams that occur in training, and the worst training text.

        The share is NaN where a text has no n-gram. The worst training text holds most of the n-grams (each n-gram
        counts for the first text that holds it); it is ``NONE`` if no text holds any.

        An n-gram in more than ``common`` training texts and more than ``common`` evaluation texts is a set phrase and
        does not count. GPT-3 ignores 13-grams that collide with more than 10 training documents. A passage that many
        training questions share with one test question would pass there, so here an n-gram must be common on both
        sides.
        """
        evaluation_texts = np.bincount(self._gram_of, minlength=len(self._known))
        counted = (self._training_texts > 0) & ~((self._training_texts > common) & (evaluation_texts > common))
        hit = counted[self._gram_of]
        total = np.bincount(self._text_of, minlength=self._texts)
        hits = np.bincount(self._text_of[hit], minlength=self._texts)
        share = np.divide(hits, total, out=np.full(self._texts, np.nan), where=total > 0)
        return share, self._most_frequent(self._text_of[hit], self._first[self._gram_of[hit]])

    def _most_frequent(self, texts: Numbers, numbers: Numbers) -> Numbers:
        """For each text the number most often paired with it; of equally frequent ones the lowest."""
        best = np.full(self._texts, NONE, np.int64)
        training, index = np.unique(numbers, return_inverse=True)
        pairs, counts = np.unique(texts * np.int64(len(training)) + index, return_counts=True)
        texts, index = np.divmod(pairs, np.int64(max(1, len(training))))
        order = np.lexsort((-index, counts, texts))
        best[texts[order]] = training[index[order]]  # if a position occurs twice, the last value stays
        return best


def different_pairs(left: Numbers, right: Numbers) -> tuple[Numbers, Numbers]:
    """The different pairs of two arrays, sorted."""
    width = np.int64(right.max() + 1 if len(right) else 1)
    pairs = np.unique(left * width + right)
    return pairs // width, pairs % width
