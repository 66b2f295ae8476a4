"""Texts that are the same but for case, punctuation or a few words: MinHash finds them, the exact Jaccard confirms.

A text is its words (``normalise``), these are its set of word n-grams (Broder 1997), and two texts are near-duplicates
where the Jaccard similarity of their sets reaches a threshold. One changed word in a text of ``w`` words destroys up to
``n`` of its ``w - n + 1`` n-grams and adds as many, so that with ``n = 5`` the similarity is at least
``(w - 9) / (w + 1)``: 0.52 for 20 words, 0.68 for 30, 0.76 for 40. A threshold of 0.5 therefore catches one changed
word in every text of 19 words or more, while two texts must share two thirds of their 5-grams to be merged by it
(``2s / (1 + s)`` of them at similarity ``s``). A shorter text with another word is another text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.minhash import NearDuplicateParams, NgramSets, Numbers

__all__ = ["Match", "NearDuplicateParams", "NearDuplicates", "normalise"]


class _Fold(dict[int, int | str]):
    """Code point → itself where it is part of a word (letter, mark, number), else a space; filled as texts come."""

    def __missing__(self, code: int) -> int | str:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else " "
        return self[code]


_FOLD = _Fold()


def normalise(text: str) -> str:
    """The words of ``text`` with single spaces between: compatibility forms (NFKC), case and punctuation are folded.

    A text without any word, such as an emoji, is only stripped: two of them are not the same.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_FOLD).split()) or " ".join(folded.split())


@dataclass(frozen=True)
class Match:
    """The text of an index that is most like a text asked for.

    Attributes:
        number: of the text in the index; of several that are equally like it the first.
        similarity: Jaccard similarity of the n-grams, 1.0 for the same words.
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
        self._sets = NgramSets.of(list(self._number), params)

    def clusters(self) -> Numbers:
        """Number of a text → number of the first text of its cluster: texts joined by near-duplicate pairs."""
        return self._first[self._sets.clusters()[self.distinct]]

    def query(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text the text of this index that is most like it; None where it has no near-duplicate here."""
        normal = [normalise(text) for text in texts]
        best = {text: Match(int(self._first[self._number[text]]), 1.0) for text in normal if text in self._number}
        rest = [text for text in dict.fromkeys(normal) if text not in best]
        for i, j, similarity in self._sets.pairs_with(NgramSets.of(rest, self.params)):
            match, text = Match(int(self._first[i]), similarity), rest[j]
            if text not in best or (-similarity, match.number) < (-best[text].similarity, best[text].number):
                best[text] = match
        return [best.get(text) for text in normal]

    def pairs_between(self, some: Numbers, others: Numbers) -> Iterator[tuple[int, int]]:
        """The near-duplicate pairs of one *distinct* text of ``some`` and one of ``others``, by their numbers."""
        for i, j, _ in self._sets.take(some).pairs_with(self._sets.take(others)):
            if some[i] != others[j]:
                yield int(some[i]), int(others[j])
