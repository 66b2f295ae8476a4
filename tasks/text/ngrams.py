"""Which n-grams of evaluation texts stand in training texts: 64-bit hashes in sorted arrays, no text is kept.

As in GPT-3's check (Brown et al. 2020, appendix C) a gram is a word without case and punctuation. Different n-grams
get one hash with a probability of about (n-grams there) * (n-grams here) / 2**64: 1e-6 for a million against ten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: every word counts in all bits of an n-gram's hash
NONE = np.iinfo(np.int64).max
"""The number of no training text."""


class Words(dict[str, int]):
    """Word → 64-bit hash, the same in every process; filled as words come."""

    def __missing__(self, word: str) -> int:
        encoded = word.encode("utf-8", "surrogatepass")
        self[word] = value = int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest())
        return value

    def hashed(self, texts: Iterable[str]) -> tuple[Hashes, Numbers]:
        """Hashes of the words of ``texts``, one after the other, and the number of words a text."""
        words = [text.split() for text in texts]
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        return np.fromiter(map(self.__getitem__, chain(*words)), np.uint64, int(lengths.sum())), lengths


def ngrams(words: Hashes, lengths: Numbers, n: int) -> tuple[Hashes, Numbers]:
    """Hashes of the n-grams of each text, and the number of the text that each stands in.

    ``words`` and ``lengths`` as of ``Words.hashed``. A text of fewer than n words has none.
    """
    size = len(words) - n + 1
    if size <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    rolled = np.zeros(size, np.uint64)
    for k in range(n):
        rolled = rolled * _BASE + words[k : k + size]
    text_of = np.repeat(np.arange(len(lengths)), lengths)
    whole = text_of[:size] == text_of[n - 1 :]
    return rolled[whole], text_of[:size][whole]


class NgramIndex:
    """The n-grams of evaluation texts; training texts are added batch by batch, then ``shares`` tells the overlap."""

    def __init__(self, words: Hashes, lengths: Numbers, n: int) -> None:
        self.n = n
        self._texts = len(lengths)
        hashes, text_of = ngrams(words, lengths, n)
        self._known, numbers = np.unique(hashes, return_inverse=True)
        self._text_of, self._gram_of = _different(text_of, numbers)
        self._training_texts = np.zeros(len(self._known), np.int64)
        self._first = np.full(len(self._known), NONE, np.int64)

    def add(self, words: Hashes, lengths: Numbers, numbers: Sequence[int] | Numbers) -> None:
        """Take in training texts, each with its number; a text that comes twice counts twice."""
        hashes, text_of = ngrams(words, lengths, self.n)
        if not len(self._known) or not len(hashes):
            return
        place = np.minimum(np.searchsorted(self._known, hashes), len(self._known) - 1)
        found = self._known[place] == hashes
        texts, grams = _different(text_of[found], place[found])
        self._training_texts += np.bincount(grams, minlength=len(self._known))
        np.minimum.at(self._first, grams, np.asarray(numbers)[texts])

    def shares(self, common: int) -> tuple[NDArray[np.float64], Numbers]:
        """For each evaluation text the share of its n-grams that stand in training, NaN where it has none, and the
        training text that holds most of them (each counted for the first that holds it), ``NONE`` where none does.

        An n-gram in more than ``common`` training texts and more than ``common`` evaluation texts is a set phrase and
        counts as not found. GPT-3 ignores 13-grams that collide with more than 10 training documents; there a passage
        that many training questions share with one test question would pass, so here it must be common on both sides.
        """
        evaluation_texts = np.bincount(self._gram_of, minlength=len(self._known))
        counted = (self._training_texts > 0) & ~((self._training_texts > common) & (evaluation_texts > common))
        hit = counted[self._gram_of]
        total = np.bincount(self._text_of, minlength=self._texts)
        found = np.bincount(self._text_of[hit], minlength=self._texts)
        share = np.divide(found, total, out=np.full(self._texts, np.nan), where=total > 0)
        return share, self._most_frequent(self._text_of[hit], self._first[self._gram_of[hit]])

    def _most_frequent(self, texts: Numbers, numbers: Numbers) -> Numbers:
        """For each text the number that stands most often beside it, of these the lowest."""
        best = np.full(self._texts, NONE, np.int64)
        training, at = np.unique(numbers, return_inverse=True)
        pairs, counts = np.unique(texts * np.int64(len(training)) + at, return_counts=True)
        texts, at = np.divmod(pairs, np.int64(max(1, len(training))))
        order = np.lexsort((-at, counts, texts))
        best[texts[order]] = training[at[order]]  # the last of equal places stays
        return best


def _different(left: Numbers, right: Numbers) -> tuple[Numbers, Numbers]:
    """The different pairs of two arrays, sorted."""
    width = np.int64(right.max() + 1 if len(right) else 1)
    found = np.unique(left * width + right)
    return found // width, found % width
