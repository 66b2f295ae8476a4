"""Test rows that were in training: which, how much of them, and where; and what of it is kept out.

Inputs (``identity``) and references are reported apart, and each is compared with inputs and with references of
training rows: by exact normalised match, as near-duplicates, and by word n-grams. A training row that equals or nearly
equals an evaluation row is left out of a mixture; an evaluation row of whose n-grams too many stand in what is left is
*dirty*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.mix.overlap import KINDS, Overlap, texts_of, texts_of_both
from tasks.mix.params import ContaminationParams
from tasks.text.ngrams import NONE, Numbers
from tasks.text.rows import ROW_KEY

ROWS = pa.schema(
    [
        *((name, pa.string()) for name in ROW_KEY),
        *((f"{measure}_{kind}", pa.bool_()) for measure in ("exact", "near_duplicate") for kind in KINDS),
        *((f"{measure}_{kind}", pa.float64()) for measure in ("ngram13", "ngram8") for kind in KINDS),
        ("left_out", pa.int64()),
        ("worst_source", pa.string()),
        ("worst_row_id", pa.string()),
        ("dirty", pa.bool_()),
    ]
)
"""Columns of ``contamination.parquet``, a row an evaluation row.

``exact_*`` and ``near_duplicate_*``: a training or validation row of the mixture's sources equals it or nearly does;
``left_out`` is how many were left out for that. ``ngram13_*`` and ``ngram8_*``: shares of its n-grams that stand in the
rows trained on (null where its text has none). ``worst_*``: the training row that is most like it. ``dirty``: it counts
as seen in training.
"""

DIRTY = pa.schema([ROWS.field(name) for name in (*ROW_KEY, "dirty")])
"""Columns of ``dirty.parquet``: what evaluation needs of the rows that experiments meet."""

COMPARED = (*ROW_KEY, "identity", "references")
"""Columns that a check reads."""

_BATCH = 20_000  # training rows at once: what their texts take stays small


@dataclass
class LeftOut:
    """Which rows stay, and how many were left out by what they match: ``SOURCE/PART: exact_input`` → rows."""

    kept: NDArray[np.bool_]
    counts: Counter[str] = field(default_factory=Counter)


class Contamination:
    """Evaluation rows against training rows, which come table by table (columns: ``COMPARED``)."""

    def __init__(self, rows: pa.Table, part: str, params: ContaminationParams) -> None:
        self.rows = rows.select(ROW_KEY).combine_chunks()
        self.params = params
        self._names = [f"{source}/{part}" for source in rows.column("source").to_pylist()]
        self._overlap = Overlap({kind: texts_of(rows, kind, params) for kind in KINDS}, params)
        self._training: list[pa.Table] = []
        self._count = 0

    def register(self, table: pa.Table) -> Numbers:
        """Numbers for training rows, by which they are named later."""
        self._training.append(table.select(["source", "row_id"]))
        self._count += table.num_rows
        return np.arange(self._count - table.num_rows, self._count)

    def find(self, table: pa.Table, numbers: Numbers, stays: bool = False) -> LeftOut:
        """Which of the training rows equal or nearly equal none of the evaluation rows; ``stays`` as in ``Overlap``."""
        found = LeftOut(np.ones(table.num_rows, np.bool_))
        for at, batch in _batches(table):
            texts = texts_of_both(batch, self.params)
            matches = self._overlap.find(texts, numbers[at : at + batch.num_rows], stays)
            for row in np.flatnonzero(matches.rows >= 0).tolist():
                measure = "exact" if matches.exact[row] else "near_duplicate"
                found.counts[f"{self._names[matches.rows[row]]}: {measure}_{KINDS[matches.kinds[row]]}"] += 1
            found.kept[at : at + batch.num_rows] = matches.rows < 0
        return found

    def add(self, table: pa.Table, numbers: Numbers) -> None:
        """Compare the n-grams of rows that are trained on."""
        for at, batch in _batches(table):
            self._overlap.add(texts_of_both(batch, self.params), numbers[at : at + batch.num_rows])

    def result(self) -> pa.Table:
        """The evaluation rows with what was found of them (columns: ``ROWS``)."""
        texts = self._overlap
        measured = texts.measured()
        columns: dict[str, Any] = {name: self.rows.column(name) for name in ROW_KEY}
        for kind, places in texts.places.items():
            columns[f"exact_{kind}"] = places.any(texts.exact)
            columns[f"near_duplicate_{kind}"] = places.any(texts.near)
            columns[f"ngram13_{kind}"] = pa.array(places.max(measured.long), from_pandas=True)
            columns[f"ngram8_{kind}"] = pa.array(places.max(measured.short), from_pandas=True)
        columns["left_out"] = texts.every.sum(np.where(texts.stays, 0, texts.matched))
        columns["dirty"] = texts.every.any(texts.stays | (measured.overlap > self.params.dirty_share))
        columns |= self._named(texts.worst_of_rows(measured))
        return pa.table({name: columns[name] for name in ROWS.names}, schema=ROWS)

    def _named(self, numbers: Numbers) -> dict[str, Any]:
        """``worst_source`` and ``worst_row_id`` of training rows; null where there is none."""
        there = pa.array(numbers, mask=numbers == NONE)
        if not self._training:
            return {name: pa.nulls(len(numbers), pa.string()) for name in ("worst_source", "worst_row_id")}
        rows = pa.concat_tables(self._training).take(there)
        return {f"worst_{name}": rows.column(name) for name in ("source", "row_id")}


def dirty_of(rows: pa.Table, wanted: pa.Table) -> pa.Table:
    """Those of ``rows`` (columns: ``ROWS``) that are ``wanted``, with the columns ``DIRTY``."""
    mine, theirs = (pc.binary_join_element_wise(*table.select(ROW_KEY).columns, "\0") for table in (rows, wanted))
    return rows.filter(pc.is_in(mine, theirs.combine_chunks())).select(DIRTY.names)


def _batches(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    for at in range(0, table.num_rows, _BATCH):
        yield at, table.slice(at, _BATCH)


def summary(rows: pa.Table, params: ContaminationParams) -> dict[str, Any]:
    """Counts and shares for each evaluation set (a source) of ``rows`` (columns: ``ROWS``): ``contamination.json``.

    ``ngram13_input`` and its like count the rows of which at least one n-gram stands in training; GPT-3 calls these
    dirty already.
    """
    sets = {}
    for source in sorted(set(rows.column("source").to_pylist())):
        own = rows.filter(pc.equal(rows.column("source"), source))
        counts = {name: _count(own, name) for name in ROWS.names if name not in COMPARED and "worst" not in name}
        shares = {name: count / own.num_rows for name, count in counts.items() if name != "left_out"}
        sets[source] = {"rows": own.num_rows, "counts": counts, "shares": shares}
    return {"schema": 1, "params": params.model_dump(), "sets": sets}


def _count(rows: pa.Table, name: str) -> int:
    column = rows.column(name)
    if name == "left_out":
        return int(pc.sum(column).as_py() or 0)
    return int(pc.sum(column if pa.types.is_boolean(column.type) else pc.greater(column, 0)).as_py() or 0)


def too_dirty(rows: pa.Table, mixture: str, params: ContaminationParams) -> dict[str, str]:
    """The evaluation sets (sources) of which more is dirty than ``max_dirty``, each with the line that says so: with
    a row of it and the training row that is most like it."""
    lines = {}
    for source, found in summary(rows, params)["sets"].items():
        if found["shares"]["dirty"] <= params.max_dirty:
            continue
        own = rows.filter(pc.and_(rows.column("dirty"), pc.equal(rows.column("source"), source))).slice(0, 1)
        row = own.to_pylist()[0]
        lines[source] = (
            f"data/splits/{source}/test.parquet: at most {params.max_dirty:.1%} of the rows may overlap with the "
            f"training rows of mixture {mixture}; {found['counts']['dirty']} of {found['rows']} "
            f"({found['shares']['dirty']:.1%}) do, such as row {row['row_id']} with training row "
            f"{row['worst_source']}/{row['worst_row_id']}; take the source or its rows out of the mixture, or raise "
            "contamination.max_dirty or contamination.dirty_share in params/mixtures.yaml"
        )
    return lines
