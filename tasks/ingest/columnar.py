"""Read Parquet and Arrow files; values that JSON lacks become text."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.files import BATCH_ROWS
from tasks.ingest.header import refuse_repeated
from tasks.ingest.opening import seekable
from tasks.text.rows import Row

Convert = Callable[[Any], Any]


def read_parquet(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield (number from 1, row) of a Parquet file."""
    yield from _numbered(path, "Parquet", _parquet_batches(path))


def read_arrow(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield (number from 1, row) of an Arrow file (Feather version 2) or an Arrow stream."""
    yield from _numbered(path, "Arrow", _arrow_batches(path))


def _parquet_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with seekable(path) as content:
        file = pq.ParquetFile(content)
        refuse_repeated(path, file.schema_arrow.names)
        yield from file.iter_batches(BATCH_ROWS)


def _arrow_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with seekable(path) as content:
        is_file = content.read(6) == b"ARROW1"
        content.seek(0)
        if not is_file:
            with pa.ipc.open_stream(content) as stream:
                refuse_repeated(path, stream.schema.names)
                yield from stream
            return
        with pa.ipc.open_file(content) as file:
            refuse_repeated(path, file.schema.names)
            for number in range(file.num_record_batches):
                yield file.get_batch(number)


def _numbered(path: Path, format_name: str, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, Row]]:
    number = 0
    try:
        for batch in batches:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                for row in rows_of_batch(batch.slice(start, BATCH_ROWS)):
                    number += 1
                    yield number, row
    except (pa.ArrowException, UnicodeDecodeError, OSError, KeyError) as error:
        if isinstance(error, OSError) and error.errno:  # an error of the disk, not of the content
            raise
        reason = " ".join(str(error).split())
        raise TunesmithError(
            f"{path}: not valid {format_name} near row {number + 1}: {reason}; restore the file"
        ) from None


def rows_of_batch(batch: pa.RecordBatch) -> list[Row]:
    """The rows of ``batch`` with values that JSON has; see ``_converter``."""
    rows: list[Row] = batch.to_pylist(maps_as_pydicts="strict")
    for field in batch.schema:
        if convert := _converter(field.type):
            for row in rows:
                row[field.name] = convert(row[field.name])
    return rows


def _converter(kind: pa.DataType) -> Convert | None:
    """A function that turns values of a type into values that JSON has; None if they are that already.

    NaN and infinity become null, and 32 and 16 bits of a fraction the number that they were written as (0.1). Bytes
    become text if they are UTF-8, else base64. Dates, times and decimals become text as Python writes them.
    """
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind) or types.is_integer(kind):
        return None
    if types.is_null(kind) or types.is_string_view(kind):
        return None
    if types.is_float64(kind):
        return _finite
    if types.is_float32(kind) or types.is_float16(kind):
        narrow = np.float32 if types.is_float32(kind) else np.float16
        return lambda value: None if value is None else _finite(float(str(narrow(value))))
    if types.is_dictionary(kind):
        return _converter(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _of_list(_converter(kind.value_type))
    if types.is_struct(kind):
        return _of_struct({field.name: convert for field in kind if (convert := _converter(field.type))})
    return _json_value


def _of_list(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda value: None if value is None else [convert(item) for item in value]


def _of_struct(converts: dict[str, Convert]) -> Convert | None:
    if not converts:
        return None

    def convert(value: Any) -> Any:
        if value is None:
            return None
        return {name: converts[name](item) if name in converts else item for name, item in value.items()}

    return convert


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return _text_of_bytes(value) if isinstance(value, bytes) else str(value)


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()
