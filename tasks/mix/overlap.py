"""Evaluation texts of one kind (inputs, or references) and what of them stands in training texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.files import digest
from tasks.mix.ngrams import NONE, NgramIndex, Numbers, Words
from tasks.mix.params import ContaminationParams
from tasks.near_duplicates import NearDuplicates, normalise

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


@dataclass(frozen=True)
class Matches:
    """For each training row the evaluation row that it equals or nearly equals; -1 where there is none.

    Attributes:
        rows: numbers of the evaluation rows.
        exact: whether the normalised texts are equal.
    """

    rows: Numbers
    exact: NDArray[np.bool_]


class Overlap:
    """The texts of one kind of evaluation rows; each different text is compared once."""

    def __init__(self, texts: Texts, params: ContaminationParams) -> None:
        self._params = params
        self._numbers: dict[str, int] = {}
        numbered = (self._numbers.setdefault(text, len(self._numbers)) for row in texts for text in row)
        self.text_of = np.fromiter(numbered, np.int64)
        self.row_of = _row_of(texts)
        self._first_row = np.full(len(self._numbers), NONE, np.int64)
        np.minimum.at(self._first_row, self.text_of, self.row_of)
        self._near = NearDuplicates(list(self._numbers), params.near_duplicates)
        count = len(self._numbers)
        self.exact, self.near, self.stays = (np.zeros(count, np.bool_) for _ in range(3))
        self.matched = np.zeros(count, np.int64)
        self.match = np.full(count, NONE, np.int64)
        self._words = Words()
        self._grams: list[NgramIndex] = []
        self._added: set[str] = set()

    def find(self, texts: Texts, numbers: Numbers, new: NDArray[np.bool_], stays: bool) -> Matches:
        """Note which training rows (``texts``, with their numbers) equal or nearly equal one here.

        ``new``: rows that no other kind of text has matched, which are counted. ``stays``: they are trained on all the
        same, so that what they match is dirty.
        """
        flat = [text for row in texts for text in row]
        found = Matches(np.full(len(texts), -1, np.int64), np.zeros(len(texts), np.bool_))
        for row, text, match in zip(_row_of(texts).tolist(), flat, self._near.query(flat), strict=True):
            if match is None:
                continue
            exact = text in self._numbers
            self.exact[match.number] |= exact
            self.near[match.number] |= not exact
            self.stays[match.number] |= stays
            self.matched[match.number] += new[row] and found.rows[row] < 0
            self.match[match.number] = min(self.match[match.number], numbers[row])
            if found.rows[row] < 0 or (exact and not found.exact[row]):
                found.rows[row], found.exact[row] = self._first_row[match.number], exact
        return found

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
        overlap = np.where(np.isnan(long[0]), short[0], long[0])
        worst = np.where(self.match != NONE, self.match, np.where(long[1] != NONE, long[1], short[1]))
        return Measured(self, long[0], short[0], overlap, worst)


@dataclass(frozen=True)
class Measured:
    """Measures of the texts of an ``Overlap``.

    Attributes:
        long, short: shares of the texts' 13-grams and 8-grams in training; NaN where a text has none.
        overlap: ``long``, or ``short`` of a text that is too short for 13-grams.
        worst: number of the training row that is most like the text; ``NONE`` where none is.
    """

    of: Overlap
    long: NDArray[np.float64]
    short: NDArray[np.float64]
    overlap: NDArray[np.float64]
    worst: Numbers

    def rows_any(self, values: NDArray[np.bool_], rows: int) -> NDArray[np.bool_]:
        """For each of ``rows`` evaluation rows whether one of its texts has a true value."""
        found = np.zeros(rows, np.bool_)
        found[self.of.row_of[values[self.of.text_of]]] = True
        return found

    def rows_sum(self, values: Numbers, rows: int) -> Numbers:
        return np.bincount(self.of.row_of, weights=values[self.of.text_of], minlength=rows).astype(np.int64)

    def rows_max(self, values: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        """For each row the highest value of its texts; NaN where none has one."""
        found = np.full(rows, np.nan)
        np.fmax.at(found, self.of.row_of, values[self.of.text_of])
        return found


def worst_of(measured: Sequence[Measured], rows: int) -> Numbers:
    """For each evaluation row the training row that is most like one of its texts: a match before an overlap."""
    row = np.concatenate([m.of.row_of for m in measured])
    worst = np.concatenate([m.worst[m.of.text_of] for m in measured])
    weight = np.concatenate(
        [np.where(m.of.match != NONE, 2.0, np.fmax(m.overlap, m.short))[m.of.text_of] for m in measured]
    )
    there = worst != NONE
    order = np.lexsort((-worst[there], weight[there], row[there]))
    found = np.full(rows, NONE, np.int64)
    found[row[there][order]] = worst[there][order]  # the last of equal places stays
    return found


def _row_of(texts: Texts) -> Numbers:
    return np.repeat(np.arange(len(texts)), np.array([len(row) for row in texts], np.int64))


def _nothing(count: int) -> tuple[tuple[NDArray[np.float64], Numbers], ...]:
    return ((np.full(count, np.nan), np.full(count, NONE, np.int64)),) * 2
