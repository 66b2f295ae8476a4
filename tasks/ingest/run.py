"""``ingest@S``: the files of a source → ``data/raw/S.parquet``.

Columns: those of the files, ``row_id`` (hash of the row's content), ``source_file`` (name without its ending) and
``source_line`` (line of a text file, or number of the row, from 1).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.files import digest
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.ingest.params import IngestParams
from tasks.ingest.readers import FORMATS, Row, read

logger = logging.getLogger("tunesmith")

OWN_COLUMNS = ("row_id", "source_file", "source_line")
_CHUNK = 10_000


def data_files(folder: Path) -> list[Path]:
    """The files of a source, in the order of their names.

    Raises:
        TunesmithError: the folder is missing, has no file, or has a folder in it, which would not be read.
    """
    paths = sorted(p for p in folder.glob("*") if not p.name.startswith("."))
    if folders := [p for p in paths if p.is_dir()]:
        raise TunesmithError(f"{folders[0]}: a source's files must be in one folder; move them up to {folder}")
    if not paths:
        raise TunesmithError(
            f"{folder}: no data file; add one ({', '.join(FORMATS)}) "
            f"with `tunesmith data add FILE --name {folder.name}`"
        )
    return paths


def rows_of(path: Path, params: IngestParams) -> Iterator[Row]:
    """Yield the rows of one file, with the columns ``OWN_COLUMNS`` added.

    Raises:
        TunesmithError: a required column is missing, a column has a name of ``OWN_COLUMNS``, or text is not Unicode.
    """
    for line, row in islice(read(path, params.format, params.delimiter), params.limit):
        missing = [column for column in params.required if column not in row]
        if missing:
            raise TunesmithError(
                f"{path}:{line}: column {missing[0]!r} is missing; the row has {', '.join(sorted(row))}; "
                "correct the row or `ingest.required` of the source"
            )
        taken = [column for column in OWN_COLUMNS if column in row]
        if taken:
            raise TunesmithError(f"{path}:{line}: column {taken[0]!r} is Tunesmith's own; rename yours")
        try:
            row_id = digest(_hashable(row))[:24]
        except UnicodeEncodeError as error:
            raise TunesmithError(
                f"{path}:{line}: text must be Unicode; it holds half of a surrogate pair "
                f"({error.object[error.start]!a}); correct the row"
            ) from None
        yield {**row, "row_id": row_id, "source_file": path.stem, "source_line": line}


def _hashable(value: Any) -> Any:
    """``value`` with dates, bytes, decimals and other types that JSON lacks as text."""
    if isinstance(value, dict):
        return {str(key): _hashable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hashable(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def to_table(rows: Iterable[Row]) -> pa.Table:
    """Collect all rows in one table; a column that a row lacks is null.

    Raises:
        TunesmithError: no single column type holds all values of a column.
    """
    iterator = iter(rows)
    tables: list[pa.Table] = []
    types: dict[str, pa.DataType] = {}
    while chunk := list(islice(iterator, _CHUNK)):
        columns = list(dict.fromkeys(key for row in chunk for key in row))
        arrays = []
        for name in columns:
            values = [_storable(row.get(name)) for row in chunk]
            odd = _first_odd(values, types.get(name))
            if odd is not None:
                raise _odd_value(name, values, odd, types.get(name), chunk[odd])
            arrays.append(pa.array(values))
            types[name] = _common(types.get(name), arrays[-1].type)
        tables.append(pa.Table.from_arrays(arrays, names=columns))
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise TunesmithError(f"a column must have one type in all rows: {error}; correct the rows") from None


def _storable(value: Any) -> Any:
    """``value`` with null for an empty object, which Parquet cannot hold."""
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()} or None
    return [_storable(item) for item in value] if isinstance(value, list) else value


def _common(before: pa.DataType | None, here: pa.DataType) -> pa.DataType:
    """The type that holds both; raises ``ArrowException`` if there is none."""
    if before is None or before == here:
        return here
    schemas = [pa.schema([("", before)]), pa.schema([("", here)])]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0).type


def _fits(values: list[Any], before: pa.DataType | None) -> bool:
    try:
        common = _common(before, pa.array(values).type)
    except (pa.ArrowException, OverflowError):
        return False
    # Arrow would turn text beside bytes into bytes, and true beside 2.5 into 1.0.
    if pa.types.is_binary(common):
        return before != pa.string() and not any(isinstance(value, str) for value in values)
    return not (pa.types.is_floating(common) and any(isinstance(value, bool) for value in values))


def _first_odd(values: list[Any], before: pa.DataType | None) -> int | None:
    """The position of the first value that does not fit those before it, by binary search."""
    if _fits(values, before):
        return None
    good, bad = 0, len(values)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if _fits(values[:middle], before) else (good, middle)
    return good


def _odd_value(name: str, values: list[Any], odd: int, before: pa.DataType | None, row: Row) -> TunesmithError:
    ahead = _common(before, pa.array(values[:odd]).type)
    location = f"{row['source_file']}:{row['source_line']}: column {name!r}"
    try:
        here = pa.array(values[odd : odd + 1]).type
    except (pa.ArrowException, OverflowError) as error:
        return TunesmithError(f"{location} must have a value that Parquet can hold: {error}; correct the row")
    return TunesmithError(
        f"{location} must have one type in all rows; it is {ahead} before and {here} here; correct the row"
    )


def run(name: str, params: IngestParams, paths: Paths, stage: Stage) -> None:
    """Read all files of the source ``name`` and write ``data/raw/name.parquet``."""
    sources = data_files(paths.source(name))
    table = to_table(row for path in sources for row in rows_of(path, params))
    with stage.outputs(paths.raw(name)) as (output,):
        pq.write_table(table, output)
    logger.info(
        "%s: %d rows of %d files, columns %s", name, table.num_rows, len(sources), ", ".join(table.column_names)
    )
