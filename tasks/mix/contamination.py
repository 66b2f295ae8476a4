"""Contamination: evaluation rows that overlap with training rows.

Inputs (``identity``) and references are reported separately. Each is compared with inputs and with references of
training rows: by equal keys, as near-duplicates, by containment, and by word n-grams.

A mixture leaves out a training row that equals an evaluation row, nearly equals it, or contains a long part of it. An
evaluation row is *dirty* if too many of its n-grams occur in the training rows that remain.
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

from tasks.mix.overlap import KINDS, MEASURES, Overlap, evaluation_texts, texts_of_both
from tasks.mix.params import ContaminationParams
from tasks.text.ngrams import NONE, Numbers
from tasks.text.rows import ROW_KEY, row_key, without_turn

ROWS = pa.schema(
    [
        *((name, pa.string()) for name in ROW_KEY),
        *((f"{measure}_{kind}", pa.bool_()) for measure in MEASURES for kind in KINDS),
        *((f"{measure}_{kind}", pa.float64()) for measure in ("ngram13", "ngram8") for kind in KINDS),
        ("left_out", pa.int64()),
        ("worst_source", pa.string()),
        ("worst_row_id", pa.string()),
        ("dirty", pa.bool_()),
    ]
)
"""Columns of ``contamination.parquet``, which has one row per evaluation row.

``exact_*``, ``near_duplicate_*`` and ``contained_*``: whether a training or validation row of the mixture's sources
matches the row in this way (``overlap.MEASURES``); ``left_out`` is the number of these rows that the mixture leaves
out. ``ngram13_*`` and ``ngram8_*``: share of the row's n-grams that occur in the rows trained on; null for a text
without n-grams. ``worst_*``: the most similar training row. ``dirty``: whether the row counts as seen in training.
"""

DIRTY = pa.schema([ROWS.field(name) for name in (*ROW_KEY, "dirty")])
"""Columns of ``dirty.parquet``: the rows of the evaluation set, for evaluation."""

COMPARED = (*ROW_KEY, "identity", "references", "messages")
"""Columns that a check reads."""

_BATCH = 20_000  # training rows compared at once, which bounds the memory of their texts


@dataclass
class LeftOut:
    """The result of matching training rows with evaluation rows.

    Attributes:
        kept: row → whether it matches no evaluation row.
        counts: reason, such as ``SOURCE/PART: exact_input`` → number of rows that match an evaluation row in this way.
    """

    kept: NDArray[np.bool_]
    counts: Counter[str] = field(default_factory=Counter)


class Contamination:
    """Compares evaluation rows with training rows, table by table (columns: ``COMPARED``)."""

    def __init__(self, rows: pa.Table, part: str, params: ContaminationParams) -> None:
        self.rows = rows.select(ROW_KEY).combine_chunks()
        self.params = params
        self._names = [f"{source}/{part}" for source in rows.column("source").to_pylist()]
        self._overlap = Overlap({kind: evaluation_texts(rows, kind, params) for kind in KINDS}, params)
        self._training: list[pa.Table] = []
        self._count = 0

    def register(self, table: pa.Table) -> Numbers:
        """Give training rows their numbers, for ``match`` and ``add``."""
        self._training.append(table.select(["source", "row_id"]))
        self._count += table.num_rows
        return np.arange(self._count - table.num_rows, self._count)

    def count(self, table: pa.Table) -> None:
        """Count the n-grams of training rows, to tell set phrases. Count all rows before the first ``match``."""
        for _, batch in _batches(table):
            self._overlap.count(texts_of_both(batch, self.params))

    def match(self, table: pa.Table, numbers: Numbers, trained: bool = False) -> LeftOut:
        """Match training rows with the evaluation rows; ``trained`` as in ``Overlap.match_rows``."""
        left_out = LeftOut(np.ones(table.num_rows, np.bool_))
        for at, batch in _batches(table):
            texts = texts_of_both(batch, self.params)
            matches = self._overlap.match_rows(texts, numbers[at : at + batch.num_rows], trained)
            for row in np.flatnonzero(matches.rows >= 0).tolist():
                measure = MEASURES[matches.measures[row]]
                left_out.counts[f"{self._names[matches.rows[row]]}: {measure}_{KINDS[matches.kinds[row]]}"] += 1
            left_out.kept[at : at + batch.num_rows] = matches.rows < 0
        return left_out

    def add(self, table: pa.Table, numbers: Numbers) -> None:
        """Add the n-grams of rows that are trained on."""
        for at, batch in _batches(table):
            self._overlap.add(texts_of_both(batch, self.params), numbers[at : at + batch.num_rows])

    def result(self) -> pa.Table:
        """The evaluation rows with their overlaps (columns: ``ROWS``)."""
        overlap = self._overlap
        measures = overlap.measures()
        columns: dict[str, Any] = {name: self.rows.column(name) for name in ROW_KEY}
        for kind, texts in overlap.by_kind.items():
            for measure, matches in zip(MEASURES, overlap.matches, strict=True):
                columns[f"{measure}_{kind}"] = texts.any(matches)
            columns[f"ngram13_{kind}"] = pa.array(texts.max(measures.long), from_pandas=True)
            columns[f"ngram8_{kind}"] = pa.array(texts.max(measures.short), from_pandas=True)
        columns["left_out"] = overlap.both_kinds.sum(np.where(overlap.trained, 0, overlap.matched))
        columns["dirty"] = overlap.both_kinds.any(overlap.trained | (measures.overlap > self.params.dirty_share))
        columns |= self._worst(overlap.worst_of_rows(measures))
        return pa.table({name: columns[name] for name in ROWS.names}, schema=ROWS)

    def _worst(self, numbers: Numbers) -> dict[str, Any]:
        """``worst_source`` and ``worst_row_id`` of training rows; null for ``NONE``."""
        index = pa.array(numbers, mask=numbers == NONE)
        if not self._training:
            return {name: pa.nulls(len(numbers), pa.string()) for name in ("worst_source", "worst_row_id")}
        rows = pa.concat_tables(self._training).take(index)
        return {f"worst_{name}": rows.column(name) for name in ("source", "row_id")}


def dirty_of(rows: pa.Table, wanted: pa.Table) -> pa.Table:
    """The rows of ``wanted`` (columns: ``ROW_KEY``) that ``rows`` (columns: ``ROWS``) marks (columns: ``DIRTY``).

    A turn of a conversation is as dirty as its conversation.
    """
    dirty = {row_key(row): row["dirty"] for row in rows.select(DIRTY.names).to_pylist()}
    marked = [
        {**row, "dirty": dirty[conversation]}
        for row in wanted.select(ROW_KEY).to_pylist()
        if (conversation := row_key({**row, "row_id": without_turn(row["row_id"])})) in dirty
    ]
    return pa.Table.from_pylist(marked, schema=DIRTY)


def _batches(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    for at in range(0, table.num_rows, _BATCH):
        yield at, table.slice(at, _BATCH)


def summary(rows: pa.Table, params: ContaminationParams) -> dict[str, Any]:
    """Counts and shares per evaluation set (source) of ``rows`` (columns: ``ROWS``): ``contamination.json``.

    Keys such as ``ngram13_input`` count the rows with at least one n-gram in training; GPT-3 calls these rows dirty.
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
    """Evaluation set (source) with a larger share of dirty rows than ``max_dirty`` → the error for it.

    The error names a dirty row and the most similar training row.
    """
    lines = {}
    for source, report in summary(rows, params)["sets"].items():
        if report["shares"]["dirty"] <= params.max_dirty:
            continue
        own = rows.filter(pc.and_(rows.column("dirty"), pc.equal(rows.column("source"), source))).slice(0, 1)
        row = own.to_pylist()[0]
        lines[source] = (
            f"data/splits/{source}/test.parquet: at most {params.max_dirty:.1%} of the rows may overlap with the "
            f"training rows of mixture {mixture}; {report['counts']['dirty']} of {report['rows']} "
            f"({report['shares']['dirty']:.1%}) do, such as row {row['row_id']} with training row "
            f"{row['worst_source']}/{row['worst_row_id']}; take the source or its rows out of the mixture, or raise "
            "contamination.max_dirty or contamination.dirty_share in params/mixtures.yaml"
        )
    return lines
