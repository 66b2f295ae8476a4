"""Evaluation texts (inputs and references) compared with training texts of either kind.

An input is compared with references too: a translation may be trained in the other direction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.core.files import digest
from tasks.mix.params import ContaminationParams
from tasks.text.containment import WORDS, ContainedTexts
from tasks.text.conversations import history_turns
from tasks.text.matching import match_key, without_numbers
from tasks.text.near_duplicates import NearDuplicates
from tasks.text.ngrams import NONE, NgramIndex, Numbers, WordHashes

KINDS = ("input", "reference")
MEASURES = ("exact", "near_duplicate", "contained")
"""How a training row matches an evaluation text, the strongest first.

- ``exact``: one of its texts has the same key (``match_key``).
- ``near_duplicate``: one is a near-duplicate, or has the same key except for numbers (``without_numbers``).
- ``contained``: one contains the evaluation text, or a long part of it (``ContainedTexts``).
"""
LONG, SHORT = 13, 8
"""Words per n-gram: the highest and lowest number of GPT-3's check (Brown et al. 2020, appendix C)."""

Texts = list[list[str]]
"""Row → the keys of its texts (``match_key``)."""


def texts_of(table: pa.Table, kind: str, params: ContaminationParams) -> Texts:
    """The texts of ``table`` that are compared: ``identity``, or the ``references`` of at least ``min_words`` words.

    The inputs of a conversation are also its single turns of at least ``WORDS`` words, since a conversation may share
    one turn with another. The text of a template never counts, since ``prompt`` is not read. Empty texts do not count
    either.
    """
    normalised: dict[str, str] = {}  # several prompt variants of an example have one text

    def normal(text: str) -> str:
        if text not in normalised:
            normalised[text] = match_key(text)
        return normalised[text]

    if kind == "input":
        inputs = (normal(text or "") for text in table.column("identity").to_pylist())
        turns = ([normal(turn) for turn in history_turns(row)] for row in table.select(["messages"]).to_pylist())
        return [
            list(dict.fromkeys([*([text] if text else []), *(turn for turn in of_row if len(turn.split()) >= WORDS)]))
            for text, of_row in zip(inputs, turns, strict=True)
        ]
    rows = ((normal(text) for text in texts or ()) for texts in table.column("references").to_pylist())
    return [[text for text in row if len(text.split()) >= params.min_words] for row in rows]


def evaluation_texts(table: pa.Table, kind: str, params: ContaminationParams) -> Texts:
    """``texts_of`` evaluation rows, without the set phrases of conversations.

    A set phrase, such as a greeting, is a turn that more than ``common`` of the conversations have.
    """
    texts = texts_of(table, kind, params)
    chats = np.flatnonzero(pc.is_valid(table.column("messages")).to_numpy()).tolist()
    first = 1 if kind == "input" else 0  # the whole history is no turn
    rows = {(table.column("identity")[row].as_py(), *texts[row][first:]) for row in chats}  # variants are one
    counts = Counter(turn for _, *turns in rows for turn in set(turns))
    for row in chats:
        turns = [turn for turn in texts[row][first:] if counts[turn] <= params.common]
        texts[row] = [*texts[row][:first], *turns]
    return texts


def texts_of_both(table: pa.Table, params: ContaminationParams) -> Texts:
    """Row → its texts of both kinds, inputs first."""
    kinds = (texts_of(table, kind, params) for kind in KINDS)
    return [[text for texts in row for text in texts] for row in zip(*kinds, strict=True)]


@dataclass(frozen=True)
class Matches:
    """For each training row, the evaluation row that it matches.

    Attributes:
        rows: number of the evaluation row; -1 for none.
        kinds: number in ``KINDS`` of the evaluation row's text that matches.
        measures: number in ``MEASURES``.
    """

    rows: Numbers
    kinds: Numbers
    measures: Numbers


@dataclass(frozen=True)
class TextsOfRows:
    """The texts of ``count`` evaluation rows, as pairs of a text and a row that holds it.

    Attributes:
        texts, rows: numbers of the text and of the row of each pair.
    """

    texts: Numbers
    rows: Numbers
    count: int

    def any(self, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """For each row, whether the value of one of its texts is true."""
        result = np.zeros(self.count, np.bool_)
        result[self.rows[values[self.texts]]] = True
        return result

    def sum(self, values: Numbers) -> Numbers:
        """For each row, the sum of the values of its texts."""
        return np.bincount(self.rows, weights=values[self.texts], minlength=self.count).astype(np.int64)

    def max(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """For each row, the highest value of its texts; NaN if no text has a value."""
        result = np.full(self.count, np.nan)
        np.fmax.at(result, self.rows, values[self.texts])
        return result


class Overlap:
    """The texts of evaluation rows, and the training rows that match them. Each different text is compared once.

    Attributes:
        by_kind: kind → the texts of that kind of each row.
        both_kinds: all texts of each row, each once.
        matches: whether a training row matches the text by the measure (shape: measures, texts).
        trained: text → whether a matching training row stays in training.
        matched: text → how many training rows match it.
        match: text → number that identifies the first of them; ``NONE`` for none.
    """

    def __init__(self, texts: Mapping[str, Texts], params: ContaminationParams) -> None:
        self._params = params
        self._numbers: dict[str, int] = {}
        self.by_kind = {kind: self._texts_of_rows(texts[kind]) for kind in KINDS}
        pairs = np.concatenate([np.stack([one.texts, one.rows]) for one in self.by_kind.values()], axis=1)
        pairs = np.unique(pairs, axis=1)
        self.both_kinds = TextsOfRows(pairs[0], pairs[1], self.by_kind[KINDS[0]].count)
        count = len(self._numbers)
        self._row = np.full(count, NONE, np.int64)
        self._kind = np.zeros(count, np.int64)
        for kind in reversed(range(len(KINDS))):  # a text of both kinds counts as an input
            one = self.by_kind[KINDS[kind]]
            self._row[one.texts], self._kind[one.texts] = NONE, kind
            np.minimum.at(self._row, one.texts, one.rows)
        self._near = NearDuplicates(list(self._numbers), params.near_duplicates)
        self.matches = np.zeros((len(MEASURES), count), np.bool_)
        self.trained = np.zeros(count, np.bool_)
        self.matched = np.zeros(count, np.int64)
        self.match = np.full(count, NONE, np.int64)
        self._words = WordHashes()
        hashed = self._words.hashed(self._numbers)
        self._contained = ContainedTexts(*hashed, params.contained_share, params.common)
        self._numberless: dict[str, int] = {}
        for text, number in self._numbers.items():
            if (key := without_numbers(text)) is not None:
                self._numberless.setdefault(key, number)
        self._grams: list[NgramIndex] = []
        self._added: set[str] = set()
        self._counted: set[str] = set()

    def _texts_of_rows(self, texts: Texts) -> TextsOfRows:
        numbered = (self._numbers.setdefault(text, len(self._numbers)) for row in texts for text in row)
        return TextsOfRows(np.fromiter(numbered, np.int64), _row_of(texts), len(texts))

    def count(self, texts: Texts) -> None:
        """Count the n-grams of training rows, to tell set phrases; a text that was counted before does not count again.

        All rows that are matched must be counted before the first is.
        """
        if self._contained.may_have_set_phrases:
            fresh = _new(dict.fromkeys(text for row in texts for text in row), self._counted)
            self._contained.count(*self._words.hashed(fresh))

    def match_rows(self, texts: Texts, numbers: Numbers, trained: bool) -> Matches:
        """Match training rows, given by their texts and numbers, with the evaluation texts, and record the matches.

        A row matches one text: the first that has the strongest measure.

        Args:
            trained: whether the rows stay in training, which makes the evaluation rows that they match dirty.
        """
        matches, measures = self._match([text for row in texts for text in row])
        matched = matches >= 0
        matches, measures, row_of = matches[matched], measures[matched], _row_of(texts)[matched]
        self.matches[measures, matches] = True
        self.trained[matches] |= trained
        np.minimum.at(self.match, matches, numbers[row_of])
        order = np.lexsort((measures, row_of))
        hit, first = np.unique(row_of[order], return_index=True)
        chosen = order[first]
        np.add.at(self.matched, matches[chosen], 1)
        result = Matches(np.full(len(texts), -1, np.int64), *(np.zeros(len(texts), np.int64) for _ in range(2)))
        result.rows[hit], result.kinds[hit] = self._row[matches[chosen]], self._kind[matches[chosen]]
        result.measures[hit] = measures[chosen]
        return result

    def _match(self, texts: Sequence[str]) -> tuple[Numbers, Numbers]:
        """For each training text the number of the evaluation text that it matches, -1 for none, and the measure."""
        near = self._near.query(texts)
        matches = np.fromiter((-1 if match is None else match.number for match in near), np.int64, len(texts))
        measures = np.fromiter((text not in self._numbers for text in texts), np.int64, len(texts))
        for k in np.flatnonzero(matches < 0).tolist():
            if (key := without_numbers(texts[k])) is not None:
                matches[k] = self._numberless.get(key, -1)
        rest = np.flatnonzero(matches < 0)
        number_of: dict[str, int] = {}
        numbers = [number_of.setdefault(texts[k], len(number_of)) for k in rest.tolist()]
        contained = self._contained.query(*self._words.hashed(number_of))
        matches[rest] = contained[np.array(numbers, np.int64)]
        measures[rest] = MEASURES.index("contained")
        return matches, measures

    def add(self, texts: Texts, numbers: Numbers) -> None:
        """Add the n-grams of rows that are trained on; a text that was added before does not count again."""
        if not self._grams:
            hashed = self._words.hashed(self._numbers)
            self._grams = [NgramIndex(*hashed, n) for n in (LONG, SHORT)]
        new: dict[str, int] = {}
        for number, row in zip(numbers.tolist(), texts, strict=True):
            for text in row:
                new.setdefault(text, number)
        fresh = _new(new, self._added)
        hashed = self._words.hashed(fresh)
        for grams in self._grams:
            grams.add(*hashed, [new[text] for text in fresh])

    def measures(self) -> Measures:
        """Measure the overlap of each text with the rows added and matched."""
        count = len(self._numbers)
        long, short = (grams.shares(self._params.common) for grams in self._grams) if self._grams else _no_shares(count)
        # In a text shorter than two 13-grams, one changed word in the middle leaves no 13-gram.
        words = np.fromiter((text.count(" ") + 1 for text in self._numbers), np.int64, count)
        overlap = np.where(words < 2 * LONG, np.fmax(long[0], short[0]), long[0])
        worst = np.where(self.match != NONE, self.match, np.where(long[1] != NONE, long[1], short[1]))
        return Measures(long[0], short[0], overlap, worst)

    def worst_of_rows(self, measures: Measures) -> Numbers:
        """Evaluation row → the training row most similar to one of its texts: first matches, then overlaps."""
        rows, worst = self.both_kinds.rows, measures.worst[self.both_kinds.texts]
        shares = np.fmax(measures.overlap, measures.short)
        weight = np.where(self.match != NONE, 2.0, shares)[self.both_kinds.texts]
        known = worst != NONE
        order = np.lexsort((-worst[known], weight[known], rows[known]))
        result = np.full(self.both_kinds.count, NONE, np.int64)
        result[rows[known][order]] = worst[known][order]  # if a row occurs twice, the last value stays
        return result


@dataclass(frozen=True)
class Measures:
    """Overlap of each text of an ``Overlap`` with training.

    Attributes:
        long, short: share of the text's 13-grams, and of its 8-grams, in training; NaN for a text without any.
        overlap: ``long``; for a text of fewer than 26 words, ``short`` if that is higher.
        worst: number of the training row most similar to the text; ``NONE`` for none.
    """

    long: NDArray[np.float64]
    short: NDArray[np.float64]
    overlap: NDArray[np.float64]
    worst: Numbers


def _new(texts: Iterable[str], seen: set[str]) -> list[str]:
    """The different ``texts`` whose digests are not in ``seen``, which gets them."""
    keys = {text: digest(text)[:16] for text in texts}
    fresh = [text for text in keys if keys[text] not in seen]
    seen.update(keys[text] for text in fresh)
    return fresh


def _row_of(texts: Texts) -> Numbers:
    """The row of each text, one text after the other."""
    return np.repeat(np.arange(len(texts)), np.array([len(row) for row in texts], np.int64))


def _no_shares(count: int) -> tuple[tuple[NDArray[np.float64], Numbers], ...]:
    return ((np.full(count, np.nan), np.full(count, NONE, np.int64)),) * 2
