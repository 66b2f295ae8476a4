"""Store rows of any JSON values as Parquet, so that each row comes back as it was.

A column whose values all have one type is stored with it. Any other column (lists, objects, numbers beside texts, whole
numbers beside fractions, null beside no value at all) holds each value as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.files import BATCH_ROWS, refuse_missing
from tasks.text.rows import Row

STORED_AS = b"tunesmith.stored_as"
"""Key of the schema metadata: a JSON object with the lists ``json`` (columns of JSON text) and ``absent`` (columns of
which null means that the row does not have them)."""

_TYPES: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_NONE = type(None)


@dataclass
class _Column:
    rows: int = 0
    types: set[type] = field(default_factory=set)
    wide: bool = False  # an integer of more than 64 bits


class Survey:
    """The types of all values of some rows, which decide how their columns are stored."""

    def __init__(self) -> None:
        self.rows = 0
        self._columns: dict[str, _Column] = {}

    def add(self, row: Row) -> None:
        """Count the values of a row."""
        self.rows += 1
        for name, value in row.items():
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = _Column()
            column.rows += 1
            column.types.add(type(value))
            if type(value) is int and not -(2**63) <= value < 2**63:
                column.wide = True

    def columns(self) -> list[str]:
        """Names of all columns, in order of first appearance."""
        return list(self._columns)

    def schema(self) -> pa.Schema:
        """The schema of the stored rows."""
        absent = [name for name, column in self._columns.items() if column.rows < self.rows]
        native = {name: self._native(name, name in absent) for name in self._columns}
        stored = {"json": [name for name, kind in native.items() if kind is None], "absent": absent}
        fields = [(name, kind or pa.string()) for name, kind in native.items()]
        return pa.schema(fields, metadata={STORED_AS: json.dumps(stored, ensure_ascii=False).encode()})

    def _native(self, name: str, absent: bool) -> pa.DataType | None:
        """The type of a column; None if it must be JSON text."""
        column = self._columns[name]
        types = column.types - {_NONE}
        if column.wide or len(types) > 1 or (absent and _NONE in column.types):
            return None
        return _TYPES.get(types.pop()) if types else pa.string()


def write_raw(path: Path, rows: Iterable[Row], survey: Survey, more: Mapping[str, pa.DataType]) -> int:
    """Write ``rows``, whose values ``survey`` has counted; return their number. Equal rows give equal bytes.

    Args:
        more: columns that every row has besides, with their types.
    """
    schema = survey.schema()
    for name, kind in more.items():
        schema = schema.append(pa.field(name, kind))
    as_json = set(_stored_as(schema)["json"])
    iterator, count = iter(rows), 0
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(islice(iterator, BATCH_ROWS)):
            count += len(batch)
            arrays = [
                pa.array([_cell(row, one.name, one.name in as_json) for row in batch], one.type) for one in schema
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return count


def _cell(row: Row, name: str, as_json: bool) -> Any:
    return json.dumps(row[name], ensure_ascii=False) if as_json and name in row else row.get(name)


def read_raw(path: Path, every_column: bool = False) -> Iterator[Row]:
    """Yield the rows of a file of ``write_raw``, one batch at a time, each with its own columns.

    Args:
        every_column: give each row all columns of the file, with None for those that it does not have.

    Raises:
        TunesmithError: the file is missing, so the stage that writes it has not run.
    """
    refuse_missing(path)
    with pq.ParquetFile(path) as file:
        stored = _stored_as(file.schema_arrow)
        for batch in file.iter_batches(BATCH_ROWS):
            for row in batch.to_pylist():
                if not every_column:
                    for name in stored["absent"]:
                        if row[name] is None:
                            del row[name]
                for name in stored["json"]:
                    if row.get(name) is not None:
                        row[name] = json.loads(row[name])
                yield row


def _stored_as(schema: pa.Schema) -> dict[str, list[str]]:
    """The value of ``STORED_AS``; a file without it, as earlier versions wrote, has neither kind of column."""
    stored = (schema.metadata or {}).get(STORED_AS)
    return json.loads(stored) if stored else {"json": [], "absent": []}
