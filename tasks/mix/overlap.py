"""Evaluation texts (inputs and references) and what of them stands in training texts of either kind.

An input is compared with references too: a translation may be trained on in the other direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.core.files import digest
from tasks.mix.params import ContaminationParams
from tasks.text.near_duplicates import NearDuplicates, normalise
from tasks.text.ngrams import NONE, NgramIndex, Numbers, Words

KINDS = ("input", "reference")
LONG, SHORT = 13, 8
"""Words of an n-gram: GPT-3's most and fewest (Brown et al. 2020, appendix C)."""

Texts = list[list[str]]
"""For each row its normalised texts."""


def texts_of(table: pa.Table, kind: str, params: ContaminationParams) -> Texts:
    """The texts of ``table`` that are compared: ``identity``, or those ``references`` that have ``min_words`` words.

    The wording of a template never counts, since ``prompt`` is not read; nor does an empty text.
    """
    seen: dict[str, str] = {}  # several wordings of an example have one text

    def normal(text: str) -> str:
        if text not in seen:
            seen[text] = normalise(text)
        return seen[text]

    if kind == "input":
        return [[found] if (found := normal(text or "")) else [] for text in table.column("identity").to_pylist()]
    rows = ((normal(text) for text in found or ()) for found in table.column("references").to_pylist())
    return [[text for text in row if len(text.split()) >= params.min_words] for row in rows]


def texts_of_both(table: pa.Table, params: ContaminationParams) -> Texts:
    """For each row its texts of all kinds, inputs first."""
    kinds = (texts_of(table, kind, params) for kind in KINDS)
    return [[text for texts in row for text in texts] for row in zip(*kinds, strict=True)]


@dataclass(frozen=True)
class Matches:
    """For each training row the evaluation row that it equals or nearly equals; -1 where there is none.

    Attributes:
        rows: numbers of the evaluation rows.
        kinds: numbers in ``KINDS`` of what of them it equals.
        exact: whether the normalised texts are equal.
    """

    rows: Numbers
    kinds: Numbers
    exact: NDArray[np.bool_]


@dataclass(frozen=True)
class Places:
    """Which texts stand in which of ``count`` evaluation rows.

    Attributes:
        texts, rows: numbers of a text and of a row that it stands in.
    """

    texts: Numbers
    rows: Numbers
    count: int

    def any(self, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """For each row whether one of its texts has a true value."""
        found = np.zeros(self.count, np.bool_)
        found[self.rows[values[self.texts]]] = True
        return found

    def sum(self, values: Numbers) -> Numbers:
        return np.bincount(self.rows, weights=values[self.texts], minlength=self.count).astype(np.int64)

    def max(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """For each row the highest value of its texts; NaN where none has one."""
        found = np.full(self.count, np.nan)
        np.fmax.at(found, self.rows, values[self.texts])
        return found


class Overlap:
    """The texts of evaluation rows; each different text is compared once, of whatever kind it is.

    Attributes:
        places: kind → where its texts stand.
        every: where all texts stand, each once in a row.
        exact, near: of a text, whether a training row equals it, or nearly equals it.
        stays: of a text, whether such a row is trained on all the same.
        matched: of a text, how many training rows do.
        match: of a text, the first of them; ``NONE`` where there is none.
    """

    def __init__(self, texts: Mapping[str, Texts], params: ContaminationParams) -> None:
        self._params = params
        self._numbers: dict[str, int] = {}
        self.places = {kind: self._place(texts[kind]) for kind in KINDS}
        pairs = np.concatenate([np.stack([places.texts, places.rows]) for places in self.places.values()], axis=1)
        pairs = np.unique(pairs, axis=1)
        self.every = Places(pairs[0], pairs[1], self.places[KINDS[0]].count)
        count = len(self._numbers)
        self._row = np.full(count, NONE, np.int64)
        self._kind = np.zeros(count, np.int64)
        for kind in reversed(range(len(KINDS))):  # a text of both kinds is an input
            places = self.places[KINDS[kind]]
            self._row[places.texts], self._kind[places.texts] = NONE, kind
            np.minimum.at(self._row, places.texts, places.rows)
        self._near = NearDuplicates(list(self._numbers), params.near_duplicates)
        self.exact, self.near, self.stays = (np.zeros(count, np.bool_) for _ in range(3))
        self.matched = np.zeros(count, np.int64)
        self.match = np.full(count, NONE, np.int64)
        self._words = Words()
        self._grams: list[NgramIndex] = []
        self._added: set[str] = set()

    def _place(self, texts: Texts) -> Places:
        numbered = (self._numbers.setdefault(text, len(self._numbers)) for row in texts for text in row)
        return Places(np.fromiter(numbered, np.int64), _row_of(texts), len(texts))

    def find(self, texts: Texts, numbers: Numbers, stays: bool) -> Matches:
        """Note which training rows (``texts``, with their numbers) equal or nearly equal one here.

        A row counts for one text, rather for an equal one. ``stays``: the rows are trained on all the same, so that
        what they match is dirty.
        """
        flat = [text for row in texts for text in row]
        chosen, equal = np.full(len(texts), -1, np.int64), np.zeros(len(texts), np.bool_)
        for row, text, match in zip(_row_of(texts).tolist(), flat, self._near.query(flat), strict=True):
            if match is None:
                continue
            exact = text in self._numbers
            self.exact[match.number] |= exact
            self.near[match.number] |= not exact
            self.stays[match.number] |= stays
            self.match[match.number] = min(self.match[match.number], numbers[row])
            if chosen[row] < 0 or (exact and not equal[row]):
                chosen[row], equal[row] = match.number, exact
        there = chosen >= 0
        np.add.at(self.matched, chosen[there], 1)
        rows, kinds = np.full(len(texts), -1, np.int64), np.zeros(len(texts), np.int64)
        rows[there], kinds[there] = self._row[chosen[there]], self._kind[chosen[there]]
        return Matches(rows, kinds, equal)

    def add(self, texts: Texts, numbers: Numbers) -> None:
        """Take in the n-grams of rows that are trained on; a text that came before does not count again."""
        if not self._grams:
            hashed = self._words.hashed(self._numbers)
            self._grams = [NgramIndex(*hashed, n) for n in (LONG, SHORT)]
        new: dict[str, int] = {}
        for number, row in zip(numbers.tolist(), texts, strict=True):
            for text in row:
                new.setdefault(text, number)
        keys = {text: digest(text)[:16] for text in new}
        fresh = [text for text in new if keys[text] not in self._added]
        self._added.update(keys[text] for text in fresh)
        hashed = self._words.hashed(fresh)
        for grams in self._grams:
            grams.add(*hashed, [new[text] for text in fresh])

    def measured(self) -> Measured:
        """What was found, a text."""
        count = len(self._numbers)
        long, short = (grams.shares(self._params.common) for grams in self._grams) if self._grams else _nothing(count)
        # One changed word in the middle of fewer words than two 13-grams have leaves none of them.
        words = np.fromiter((text.count(" ") + 1 for text in self._numbers), np.int64, count)
        overlap = np.where(words < 2 * LONG, np.fmax(long[0], short[0]), long[0])
        worst = np.where(self.match != NONE, self.match, np.where(long[1] != NONE, long[1], short[1]))
        return Measured(long[0], short[0], overlap, worst)

    def worst_of_rows(self, measured: Measured) -> Numbers:
        """For each evaluation row the training row that is most like one of its texts: a match before an overlap."""
        rows, worst = self.every.rows, measured.worst[self.every.texts]
        shares = np.fmax(measured.overlap, measured.short)
        weight = np.where(self.match != NONE, 2.0, shares)[self.every.texts]
        there = worst != NONE
        order = np.lexsort((-worst[there], weight[there], rows[there]))
        found = np.full(self.every.count, NONE, np.int64)
        found[rows[there][order]] = worst[there][order]  # the last of equal places stays
        return found


@dataclass(frozen=True)
class Measured:
    """Measures of the texts of an ``Overlap``.

    Attributes:
        long, short: shares of the texts' 13-grams and 8-grams in training; NaN where a text has none.
        overlap: ``long``; of a text of fewer than 26 words ``short`` where that is higher.
        worst: number of the training row that is most like the text; ``NONE`` where none is.
    """

    long: NDArray[np.float64]
    short: NDArray[np.float64]
    overlap: NDArray[np.float64]
    worst: Numbers


def _row_of(texts: Texts) -> Numbers:
    return np.repeat(np.arange(len(texts)), np.array([len(row) for row in texts], np.int64))


def _nothing(count: int) -> tuple[tuple[NDArray[np.float64], Numbers], ...]:
    return ((np.full(count, np.nan), np.full(count, NONE, np.int64)),) * 2
