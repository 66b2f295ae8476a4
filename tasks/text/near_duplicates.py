"""Texts that are the same but for case, punctuation or a few words: MinHash finds them, the exact Jaccard confirms.

A text is its words (``normalise``), these are its set of word n-grams (Broder 1997), and two texts are near-duplicates
where the Jaccard similarity of their sets reaches a threshold. One changed word in a text of ``w`` words destroys up to
``n`` of its ``w - n + 1`` n-grams and adds as many, so that with ``n = 5`` the similarity is at least
``(w - 9) / (w + 1)``: 0.52 for 20 words, 0.68 for 30, 0.76 for 40. A threshold of 0.5 therefore catches one changed
word in every text of 19 words or more, while two texts must share two thirds of their 5-grams to be merged by it
(``2s / (1 + s)`` of them at similarity ``s``). Two texts of 11 to 19 words are compared by 3-grams as well, where one
changed word leaves ``(w - 5) / (w + 1)``: 0.5 for 11 words. A shorter text with another word is another text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.text.minhash import Forest, NearDuplicateParams, NgramSets, Numbers
from tasks.text.words import normalise

__all__ = ["Match", "NearDuplicateParams", "NearDuplicates", "normalise"]


SHORT = range(11, 20)
"""Words of texts that are also compared with each other by n-grams of ``SHORT_NGRAM`` words."""
SHORT_NGRAM = 3


@dataclass(frozen=True)
class Match:
    """The text of an index that is most like a text asked for.

    Attributes:
        number: of the text in the index; of several that are equally like it the first.
        similarity: Jaccard similarity of the n-grams, 1.0 for the same words; of two short texts the higher one of
            their n-grams and their shorter n-grams.
    """

    number: int
    similarity: float


class NearDuplicates:
    """Texts, numbered in the order in which they were given, and which of them are near-duplicates.

    Equal normalised texts are one *distinct* text: they are near-duplicates without a comparison. A pair at the
    threshold is found with a probability of at least ``RECALL``; a pair below it never, since each is compared.

    Attributes:
        params: when two texts count as near-duplicates.
        distinct: number of a text → number of its distinct text; these are numbered as they first come.
    """

    def __init__(self, texts: Sequence[str], params: NearDuplicateParams) -> None:
        self.params = params
        self._number: dict[str, int] = {}
        normal = (normalise(text) for text in texts)
        numbers = (self._number.setdefault(text, len(self._number)) for text in normal)
        self.distinct: Numbers = np.fromiter(numbers, np.int64, len(texts))
        self._first = np.unique(self.distinct, return_index=True)[1]

    @property
    def normalised(self) -> list[str]:
        """The distinct texts."""
        return list(self._number)

    def numbers(self, texts: Sequence[str]) -> Numbers:
        """The number of the distinct text that each text of this index is."""
        return np.fromiter((self._number[normalise(text)] for text in texts), np.int64, len(texts))

    @cached_property
    def _sets(self) -> list[tuple[Numbers, NgramSets]]:
        return _ngram_sets(list(self._number), self.params)

    def clusters(self) -> Numbers:
        """Number of a text → number of the first text of its cluster: texts joined by near-duplicate pairs."""
        forest = Forest(len(self._number))
        for numbers, sets in self._sets:
            roots = sets.clusters()
            for i in np.flatnonzero(roots != np.arange(len(roots))).tolist():
                forest.join(int(numbers[i]), int(numbers[roots[i]]))
        return self._first[forest.roots()[self.distinct]]

    def query(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text the text of this index that is most like it; None where it has no near-duplicate here."""
        normal = [normalise(text) for text in texts]
        best = {text: Match(int(self._first[self._number[text]]), 1.0) for text in normal if text in self._number}
        rest = [text for text in dict.fromkeys(normal) if text not in best]
        for (numbers, sets), (asked, others) in zip(self._sets, _ngram_sets(rest, self.params), strict=True):
            for i, j, similarity in sets.pairs_with(others):
                match, text = Match(int(self._first[numbers[i]]), similarity), rest[asked[j]]
                if text not in best or (-similarity, match.number) < (-best[text].similarity, best[text].number):
                    best[text] = match
        return [best.get(text) for text in normal]

    def pairs_between(self, some: Numbers, others: Numbers) -> Iterator[tuple[int, int]]:
        """The near-duplicate pairs of one *distinct* text of ``some`` and one of ``others``, by their numbers."""
        given: set[tuple[int, int]] = set()
        for numbers, sets in self._sets:
            here, there = (texts[np.isin(texts, numbers)] for texts in (some, others))
            places = (sets.take(np.searchsorted(numbers, texts)) for texts in (here, there))
            for i, j, _ in next(places).pairs_with(next(places)):
                pair = int(here[i]), int(there[j])
                if pair[0] != pair[1] and pair not in given:
                    given.add(pair)
                    yield pair


def _ngram_sets(texts: Sequence[str], params: NearDuplicateParams) -> list[tuple[Numbers, NgramSets]]:
    """Numbers of normalised texts and their n-gram sets: of all, and of short ones with shorter n-grams."""
    every = np.arange(len(texts)), NgramSets.of(texts, params)
    if params.ngram <= SHORT_NGRAM:
        return [every]
    short = [number for number, text in enumerate(texts) if text.count(" ") + 1 in SHORT]
    sets = NgramSets.of([texts[number] for number in short], params.model_copy(update={"ngram": SHORT_NGRAM}))
    return [every, (np.array(short, np.int64), sets)]
