"""Texts that differ only in case, punctuation or a few words: MinHash proposes pairs, the exact Jaccard decides.

A text becomes its words (``normalise``), and the words become a set of n-grams (Broder 1997). Two texts are
near-duplicates if the Jaccard similarity of their sets reaches a threshold.

One changed word in a text of ``w`` words removes up to ``n`` of its ``w - n + 1`` n-grams and adds as many. With
``n = 5`` the similarity is then at least ``(w - 9) / (w + 1)``: 0.52 for 20 words, 0.68 for 30, 0.76 for 40. A
threshold of 0.5 therefore finds one changed word in every text of 19 words or more. At similarity ``s`` two texts share
``2s / (1 + s)`` of their 5-grams, two thirds at 0.5.

Two texts of 11 to 19 words are compared by 3-grams as well. There one changed word leaves ``(w - 5) / (w + 1)``, 0.5
for 11 words. Two shorter texts that differ in a word are different texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.text.components import Numbers, lowest_members
from tasks.text.minhash import NearDuplicateParams, NgramSets
from tasks.text.words import normalise

__all__ = ["Match", "NearDuplicateParams", "NearDuplicates", "normalise"]


SHORT = range(11, 20)
"""Words of texts that are also compared with each other by n-grams of ``SHORT_NGRAM`` words."""
SHORT_NGRAM = 3


@dataclass(frozen=True)
class Match:
    """The text of an index that is most similar to a query text.

    Attributes:
        number: number of the text in the index; of several equally similar texts, that of the first.
        similarity: Jaccard similarity of the n-grams, 1.0 for the same words. For two short texts, the higher of the
            similarities of their n-grams and of their shorter n-grams.
    """

    number: int
    similarity: float


class NearDuplicates:
    """An index of texts, numbered in the order given, that finds near-duplicates.

    Texts that are equal after ``normalise`` are one *distinct* text: they are near-duplicates without a comparison. A
    pair at the threshold is found with a probability of at least ``RECALL``. A pair below it is never found, since
    every candidate is compared exactly.

    Attributes:
        params: when two texts count as near-duplicates.
        distinct: number of a text → number of its distinct text; distinct texts are numbered as they first come.
    """

    def __init__(self, texts: Sequence[str], params: NearDuplicateParams) -> None:
        self.params = params
        self._number: dict[str, int] = {}
        normalised = (normalise(text) for text in texts)
        numbers = (self._number.setdefault(text, len(self._number)) for text in normalised)
        self.distinct: Numbers = np.fromiter(numbers, np.int64, len(texts))
        self._first = np.unique(self.distinct, return_index=True)[1]

    @property
    def normalised(self) -> list[str]:
        """The distinct texts after normalisation, in the order of their numbers."""
        return list(self._number)

    def numbers(self, texts: Sequence[str]) -> Numbers:
        """The number of the distinct text of each of ``texts``, which must be texts of this index."""
        return np.fromiter((self._number[normalise(text)] for text in texts), np.int64, len(texts))

    @cached_property
    def _sets(self) -> list[tuple[Numbers, NgramSets]]:
        return _ngram_sets(list(self._number), self.params)

    def clusters(self) -> Numbers:
        """Number of a text → number of the first text of its cluster: texts joined by near-duplicate pairs."""
        joined = [(numbers, numbers[sets.clusters()]) for numbers, sets in self._sets]
        texts, lowest = (np.concatenate(side) for side in zip(*joined, strict=True))
        return self._first[lowest_members(len(self._number), texts, lowest)[self.distinct]]

    def query(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text its most similar text in this index; None if the index has no near-duplicate of it."""
        queries = [normalise(text) for text in texts]
        best = {text: Match(int(self._first[self._number[text]]), 1.0) for text in queries if text in self._number}
        rest = [text for text in dict.fromkeys(queries) if text not in best]
        for (numbers, sets), (rest_numbers, rest_sets) in zip(self._sets, _ngram_sets(rest, self.params), strict=True):
            for i, j, similarity in sets.pairs_with(rest_sets):
                match, text = Match(int(self._first[numbers[i]]), similarity), rest[rest_numbers[j]]
                if text not in best or (-similarity, match.number) < (-best[text].similarity, best[text].number):
                    best[text] = match
        return [best.get(text) for text in queries]

    def pairs_between(self, some: Numbers, others: Numbers) -> Iterator[tuple[int, int]]:
        """Yield each near-duplicate pair of a *distinct* text of ``some`` and one of ``others`` once, by number."""
        yielded: set[tuple[int, int]] = set()
        for numbers, sets in self._sets:
            left, right = (texts[np.isin(texts, numbers)] for texts in (some, others))
            left_sets, right_sets = (sets.take(np.searchsorted(numbers, texts)) for texts in (left, right))
            for i, j, _ in left_sets.pairs_with(right_sets):
                pair = int(left[i]), int(right[j])
                if pair[0] != pair[1] and pair not in yielded:
                    yielded.add(pair)
                    yield pair


def _ngram_sets(texts: Sequence[str], params: NearDuplicateParams) -> list[tuple[Numbers, NgramSets]]:
    """Numbers of normalised texts with their n-gram sets: all texts, then the short ones with shorter n-grams."""
    every = np.arange(len(texts)), NgramSets.of(texts, params)
    if params.ngram <= SHORT_NGRAM:
        return [every]
    short = [number for number, text in enumerate(texts) if text.count(" ") + 1 in SHORT]
    sets = NgramSets.of([texts[number] for number in short], params.model_copy(update={"ngram": SHORT_NGRAM}))
    return [every, (np.array(short, np.int64), sets)]
