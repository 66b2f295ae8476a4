"""Which evaluation text a training text contains: the whole text, or a long part of it.

Texts are compared by their different word 8-grams, the shortest of GPT-3's check (Brown et al. 2020, appendix C). A
run of ``k`` equal words shares ``k - 7`` of them, so 7 is added to a number of shared 8-grams to count words.

An 8-gram in many texts of both sides is a set phrase, such as the greeting of a call centre, and does not count. Both
sides are counted as a whole before any text is queried. Whether two texts match therefore depends on neither the order
nor the batches of the queries.
"""

from __future__ import annotations

import numpy as np

from tasks.text.ngrams import Hashes, Numbers, different_pairs, ngrams

NGRAM = 8
WORDS = 13
"""Lowest number of shared words, unless the evaluation text is shorter: GPT-3's check counts 13-grams."""


class ContainedTexts:
    """An index of evaluation texts, numbered in the order given. A text of fewer than 8 words is never contained.

    Args:
        words, lengths: as ``WordHashes.hashed`` returns them.
        share: lowest share of an evaluation text's words that a training text must hold.
        common: an n-gram in more than this number of evaluation texts, and of the training texts given to ``count``,
            is a set phrase and does not count.
    """

    def __init__(self, words: Hashes, lengths: Numbers, share: float, common: int) -> None:
        self._common = common
        hashes, text_of = ngrams(words, lengths, NGRAM)
        self._known, gram_of = np.unique(hashes, return_inverse=True)
        gram_of, self._texts = different_pairs(gram_of, text_of)  # ordered by n-gram
        self._counts = np.bincount(gram_of, minlength=len(self._known))
        self._starts = np.cumsum(self._counts) - self._counts
        self._words = np.bincount(self._texts, minlength=len(lengths)) + NGRAM - 1
        self._needed = np.minimum(self._words, np.maximum(WORDS, share * self._words))
        self._training_texts = np.zeros(len(self._known), np.int64)

    @property
    def may_have_set_phrases(self) -> bool:
        """Whether an n-gram is in enough evaluation texts to be one; otherwise ``count`` changes nothing."""
        return bool(self._counts.max(initial=0) > self._common)

    def count(self, words: Hashes, lengths: Numbers) -> None:
        """Count the n-grams of training texts, to tell set phrases. A text that is given twice counts twice.

        Args:
            words, lengths: as ``WordHashes.hashed`` returns them.
        """
        _, grams = self._known_ngrams(words, lengths)
        self._training_texts += np.bincount(grams, minlength=len(self._known))

    def query(self, words: Hashes, lengths: Numbers) -> Numbers:
        """For each training text the evaluation text of which it contains the largest share; -1 for none.

        Args:
            words, lengths: as ``WordHashes.hashed`` returns them.
        """
        texts, grams = self._shared_ngrams(words, lengths)
        counts = self._counts[grams]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        evaluation = self._texts[np.repeat(self._starts[grams], counts) + offsets]
        width = np.int64(max(1, len(self._words)))
        pairs, shared = np.unique(np.repeat(texts, counts) * width + evaluation, return_counts=True)
        texts, evaluation = np.divmod(pairs, width)
        long = shared + NGRAM - 1 >= self._needed[evaluation]
        texts, evaluation, shared = texts[long], evaluation[long], shared[long]
        contained = np.full(len(lengths), -1, np.int64)
        order = np.lexsort((-evaluation, (shared + NGRAM - 1) / self._words[evaluation], texts))
        contained[texts[order]] = evaluation[order]  # of equal positions, the last value stays
        return contained

    def _shared_ngrams(self, words: Hashes, lengths: Numbers) -> tuple[Numbers, Numbers]:
        """The different pairs of a training text and a known n-gram in it, without those of set phrases."""
        texts, grams = self._known_ngrams(words, lengths)
        is_set_phrase = (self._training_texts > self._common) & (self._counts > self._common)
        counted = ~is_set_phrase[grams]
        return texts[counted], grams[counted]

    def _known_ngrams(self, words: Hashes, lengths: Numbers) -> tuple[Numbers, Numbers]:
        """The different pairs of a training text and an n-gram in it that an evaluation text has too."""
        hashes, text_of = ngrams(words, lengths, NGRAM)
        if not len(self._known):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        positions = np.minimum(np.searchsorted(self._known, hashes), len(self._known) - 1)
        known = self._known[positions] == hashes
        return different_pairs(text_of[known], positions[known])
