"""Read and write whole files of rows, in the format of the file's ending."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.ingest.readers import read
from tasks.text.rows import Row

WRITTEN = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".json")
"""Endings of the formats that ``write_table`` writes."""


def refuse_unwritten(path: Path) -> None:
    """Refuse a file whose ending is not one of ``WRITTEN``.

    Raises:
        TunesmithError: the ending is unknown; the error lists the known ones.
    """
    if path.suffix.lower() not in WRITTEN:
        raise TunesmithError(
            f"{path}: the ending must be one of {', '.join(WRITTEN)}; it is {path.suffix or 'missing'!r}; "
            "name a file with one of these endings"
        )


def read_table(path: Path) -> list[tuple[int, Row]]:
    """Every row with its line or row number, from 1.

    Raises:
        TunesmithError: as ``tasks.ingest.readers.read``.
    """
    return list(read(path))


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write ``rows`` to a temporary file and rename it; a column that a row lacks becomes null.

    In CSV and TSV, lists, objects, numbers and booleans are JSON, and null is an empty cell. All formats but Parquet
    hold null instead of NaN and infinity.

    Raises:
        TunesmithError: the ending is unknown, or the format cannot hold a value.
    """
    refuse_unwritten(path)
    write = {".csv": _csv(","), ".tsv": _csv("\t"), ".json": _json, ".parquet": _parquet}
    with files.replacing(path) as temporary:
        write.get(path.suffix.lower(), _jsonl)(temporary, rows)


def refuse_unwritable(path: Path, rows: Sequence[tuple[int, Row]], source: Path) -> None:
    """Refuse rows of ``source`` that ``write_table`` could not write, before anything is computed for them.

    Raises:
        TunesmithError: as ``write_table``, or a text is not valid Unicode.
    """
    refuse_unwritten(path)
    for number, row in rows:
        try:
            _line(row).encode()
        except UnicodeEncodeError as error:
            raise TunesmithError(
                f"{source}:{number}: text must be Unicode; it holds half of a surrogate pair "
                f"({error.object[error.start]!a}); correct the row"
            ) from None
    if path.suffix.lower() == ".parquet":
        _arrow(path, [row for _, row in rows])


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Names of all columns, in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _line(row: Row) -> str:
    return json.dumps(_finite(row), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    """``value`` with None for NaN and infinity, also inside lists and objects: JSON has neither."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _jsonl(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{_line(row)}\n" for row in rows)


def _json(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("[\n" + ",\n".join(map(_line, rows)) + "\n]\n", encoding="utf-8", newline="\n")


def _csv(delimiter: str) -> Callable[[Path, Sequence[Row]], None]:
    def write(path: Path, rows: Sequence[Row]) -> None:
        columns = columns_of(rows)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)

    return write


def _cell(value: Any) -> str:
    value = _finite(value)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str).strip('"')


def _parquet(path: Path, rows: Sequence[Row]) -> None:
    pq.write_table(_arrow(path, rows), path)


def _arrow(path: Path, rows: Sequence[Row]) -> pa.Table:
    arrays = {}
    for name in columns_of(rows):
        values = [row.get(name) for row in rows]
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, OverflowError) as error:
            raise TunesmithError(
                f"{path}: column {name!r} must have one type in all rows, since Parquet stores one type per column; "
                f"{error}; correct the rows, or write to .jsonl"
            ) from None
    return pa.table(arrays)
