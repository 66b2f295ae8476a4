"""Parquet and Arrow: every value is one that JSON has, and the one that was written."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import TunesmithError
from tasks.ingest.readers import read

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pa.float32(), [0.1, 2.0, None, NAN, 1e-30], [0.1, 2.0, None, None, 1e-30]),
        (pa.float16(), [np.float16(0.1), None], [0.1, None]),
        (pa.float64(), [0.1, NAN, -INFINITY, None], [0.1, None, None, None]),
        (pa.list_(pa.float32()), [[0.1, None, NAN], None, []], [[0.1, None, None], None, []]),
        (pa.list_(pa.float32(), 2), [[0.1, 0.7]], [[0.1, 0.7]]),
        (
            pa.struct([("x", pa.float32()), ("y", pa.list_(pa.float64())), ("z", pa.string())]),
            [{"x": 0.1, "y": [NAN], "z": "a"}, None],
            [{"x": 0.1, "y": [None], "z": "a"}, None],
        ),
        (pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"], ["a", None, "a"]),
        (pa.map_(pa.string(), pa.int64()), [[("k", 1)], []], [{"k": 1}, {}]),
        (pa.int64(), [1, None, 2**63 - 1], [1, None, 2**63 - 1]),
        (pa.uint64(), [2**64 - 1], [2**64 - 1]),
        (pa.bool_(), [True, None], [True, None]),
        (pa.date32(), [date(2024, 2, 29)], ["2024-02-29"]),
        (pa.timestamp("us"), [datetime(2024, 2, 29, 1, 2, 3)], ["2024-02-29 01:02:03"]),
        (pa.timestamp("ns", "UTC"), [datetime(2024, 2, 29)], ["2024-02-29 00:00:00+00:00"]),
        (pa.duration("s"), [timedelta(hours=1)], ["1:00:00"]),
        (pa.decimal128(6, 2), [Decimal("1.50"), None], ["1.50", None]),
        (pa.binary(), [b"caf\xc3\xa9", b"\xff"], ["café", "/w=="]),
        (pa.large_string(), ["  a \n"], ["  a \n"]),
        (pa.null(), [None], [None]),
    ],
)
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_values_are_those_that_were_written(
    tmp_path: Path, ending: str, kind: pa.DataType, values: list[Any], expected: list[Any]
) -> None:
    table, path = pa.table({"x": pa.array(values, kind)}), tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    assert repr([row["x"] for _, row in read(path)]) == repr(expected)


def test_many_rows_in_one_batch_keep_their_numbers(tmp_path: Path) -> None:
    table = pa.table({"x": list(range(10_000))})
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as stream:
        stream.write_table(table)
    assert list(read(tmp_path / "a.arrow")) == [(i + 1, {"x": i}) for i in range(10_000)]


@pytest.mark.parametrize("content", [b"ARROW1 but no more", b"x,y\n1,2\n", b"\xff\xff\xff\xff"])
def test_a_file_that_is_no_arrow_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.arrow"
    path.write_bytes(content)
    with pytest.raises(TunesmithError, match=r"not valid Arrow near row 1: .*; restore the file"):
        list(read(path))


def test_two_arrow_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pa.ipc.new_file(tmp_path / "a.feather", table.schema) as file:
        file.write_table(table)
    with pytest.raises(TunesmithError, match="'x' occurs twice"):
        list(read(tmp_path / "a.feather"))
