"""Readers: every row arrives as it was written, and what is wrong is named by file and line."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import TunesmithError
from tasks.ingest.delimited import delimiter_of
from tasks.ingest.formats import format_of
from tasks.ingest.readers import read


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def error_of(path: Path, delimiter: str = "auto") -> str:
    with pytest.raises(TunesmithError) as caught:
        list(read(path, delimiter))
    return str(caught.value)


# JSONL


def test_jsonl_rows_come_with_their_line_and_blank_lines_count(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"x": 1}\n\n  \n{"x": null, "y": [1, {"z": "é"}]}')
    assert list(read(path)) == [(1, {"x": 1}), (4, {"x": None, "y": [1, {"z": "é"}]})]


def test_jsonl_text_may_hold_unicode_line_separators(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"x": "a\u2028b\u0085c"}\n{"x": "d"}\n')
    assert list(read(path)) == [(1, {"x": "a\u2028b\u0085c"}), (2, {"x": "d"})]


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    assert list(read(written(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"x": 1}\n'))) == [(1, {"x": 1})]
    assert list(read(written(tmp_path, "a.csv", b"\xef\xbb\xbfx,y\n1,2\n"))) == [(2, {"x": "1", "y": "2"})]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ('{"x": 2', "Expecting ',' delimiter (column"),
        ("[1, 2]", "must be a JSON object; it is a list"),
        ("null", "must be a JSON object; it is a NoneType"),
        ("9" * 5000, "must be one JSON object"),
        ("[" * 100_000, "must be one JSON object"),
    ],
)
def test_a_wrong_jsonl_line_is_named(tmp_path: Path, second: str, expected: str) -> None:
    path = written(tmp_path, "a.jsonl", f'{{"x": 1}}\n{second}\n')
    message = error_of(path)
    assert message.startswith(f"{path}:2: ")
    assert expected in message


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_bytes_that_are_not_utf_8_are_named_by_line(tmp_path: Path, name: str) -> None:
    first = b'{"x": "a"}\n' if name == "a.jsonl" else b"x\n"
    path = written(tmp_path, name, first + b'{"x": "caf\xe9"}\n')
    assert error_of(path).startswith(f"{path}:2: text must be UTF-8; byte 11 of the line is 0xe9")


def test_the_wrong_byte_is_named_behind_a_byte_order_mark_too(tmp_path: Path) -> None:
    assert "is 0xe9" in error_of(written(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"x": "\xe9"}\n'))


# CSV


def test_csv_cells_may_hold_quotes_commas_and_line_ends(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'x,y\r\n"a ""b"", c","d\ne"\r\n\r\n1,\r\n')
    rows = list(read(path))
    assert [row for _, row in rows] == [{"x": 'a "b", c', "y": "d\ne"}, {"x": "1", "y": ""}]
    assert [line for line, _ in rows] == [2, 5], "a row counts from the line in which it begins"


@pytest.mark.parametrize(("row", "cells"), [("1,2,3", 3), ("1", 1)])
def test_a_ragged_csv_row_is_named(tmp_path: Path, row: str, cells: int) -> None:
    path = written(tmp_path, "a.csv", f"x,y\n1,2\n{row}\n")
    assert error_of(path).startswith(f"{path}:3: a row must have as many cells as the header (2); it has {cells}")


def test_an_open_quote_is_named_where_it_begins(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'x\n1\n"2\n3\n4\n')
    assert error_of(path).startswith(f"{path}:3: not valid CSV")


def test_two_csv_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "'x' occurs twice" in error_of(written(tmp_path, "a.csv", "x,y,x\n1,2,3\n"))


def test_csv_cells_may_be_long(tmp_path: Path) -> None:
    long = "word " * 60_000
    assert list(read(written(tmp_path, "a.csv", f"x\n{long}\n"))) == [(2, {"x": long})]


SEMICOLONS = [{"ticket": "late; broken", "price": "1,5"}, {"ticket": "two\nlines", "price": "2,25"}]


@pytest.mark.parametrize(
    ("content", "delimiter", "rows"),
    [
        ('ticket;price\r\n"late; broken";1,5\r\n"two\nlines";2,25\r\n', ";", SEMICOLONS),
        ('\ufeff"ticket";"price"\n"late; broken";"1,5"\n"two\nlines";"2,25"\n', ";", SEMICOLONS),
        ('sep=;\r\nticket;price\r\n"late; broken";1,5\r\n"two\nlines";2,25\r\n', ";", SEMICOLONS),
        ("x\ty\nHello, Ann; hi\tb\n", "\t", [{"x": "Hello, Ann; hi", "y": "b"}]),
        ("x|y\nHello, Ann; hi|b\n", "|", [{"x": "Hello, Ann; hi", "y": "b"}]),
        ("x,y\na; b,c | d\n", ",", [{"x": "a; b", "y": "c | d"}]),
        ("x,y; z\na,b\n", ",", [{"x": "a", "y; z": "b"}]),
        ('"x; y"\na\n', ",", [{"x; y": "a"}]),
        ("x\na; b\n", ",", [{"x": "a; b"}]),
    ],
)
def test_a_csv_is_read_with_the_delimiter_that_splits_its_header_and_rows(
    tmp_path: Path, content: str, delimiter: str, rows: list[dict[str, str]]
) -> None:
    path = written(tmp_path, "a.csv", content)
    assert delimiter_of(path) == delimiter
    assert [row for _, row in read(path)] == rows
    assert [row for _, row in read(path, "csv", delimiter)] == rows


@pytest.mark.parametrize(
    ("content", "could"),
    [
        (
            "id;price,currency\n1;2,5\n",
            "comma (2 cells per row) or semicolon (2 cells per row); add `--delimiter comma` or `--delimiter "
            "semicolon`",
        ),
        (
            "question | answer\nwhat?\nwho?\n",
            "pipe (1 or 2 cells per row) or none (one column); with pipe, line 2 has 1 cell, not 2 as the header; add "
            "`--delimiter pipe` or `--delimiter comma` (one column)",
        ),
        (
            "a;b\n1;2\n\n3;4; 5\n",
            "semicolon (2 or 3 cells per row) or none (one column); with semicolon, line 4 has 3 cells, not 2 as the "
            "header (quote a cell that holds the delimiter); add `--delimiter semicolon` or",
        ),
    ],
)
def test_a_csv_with_several_possible_delimiters_is_refused_with_the_remedy(
    tmp_path: Path, content: str, could: str
) -> None:
    path = written(tmp_path, "a.csv", content)
    message = error_of(path)
    assert f"it could be {could}" in message and "to `tunesmith data add`" in message
    assert "`delimiter` under `ingest`" in message
    assert len(list(read(path, delimiter=","))) == len(list(filter(None, content.split("\n")))) - 1


@pytest.mark.parametrize("content", ["a;b;c\n1,5;2;3\n", "sep=;\na;b;c\n1;2;3\n"])
def test_a_requested_delimiter_that_leaves_one_column_is_refused(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, "a.csv", content)
    with pytest.raises(TunesmithError, match=r"one column named 'a;b;c'; use `--delimiter semicolon`"):
        list(read(path, delimiter=","))
    assert [len(row) for _, row in read(path, delimiter=";")] == [3]
    assert list(read(written(tmp_path, "b.csv", '"a;b"\n1;2\n'), delimiter=",")) == [(2, {"a;b": "1;2"})]


def test_a_tsv_file_has_tabs(tmp_path: Path) -> None:
    path = written(tmp_path, "a.tsv", "x,y;z\tb\n1,2\t3\n")
    assert list(read(path)) == [(2, {"x,y;z": "1,2", "b": "3"})] and delimiter_of(path) == "\t"


def test_the_remedy_for_a_file_that_is_not_utf_8_works_as_typed(tmp_path: Path) -> None:
    path = tmp_path / "my cafés.csv"
    path.write_bytes("x\ncafé\n".encode("latin-1"))
    command = error_of(path).split("`")[1]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert list(read(tmp_path / "my cafés_utf8.csv")) == [(2, {"x": "café"})]


def test_the_remedy_for_a_compressed_file_that_is_not_utf_8_unpacks_it_first(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"text\ncaf\xe9\n"))
    with pytest.raises(TunesmithError, match=r"rows\.csv\.gz:2: text must be UTF-8.*; unpack the file, and convert it"):
        list(read(path))


def test_a_ragged_row_behind_the_first_ones_is_named_with_the_delimiter(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "x;y\n" + "1;2\n" * 30 + "1;2;3\n")
    assert error_of(path).startswith(f"{path}:32: a row must have as many cells as the header (2); it has 3")
    assert "the delimiter (semicolon)" in error_of(path)


# Parquet


def test_parquet_rows_come_with_their_number(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"x": "a", "y": [1, 2]}, {"x": None, "y": []}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert list(read(tmp_path / "a.parquet")) == [(1, rows[0]), (2, rows[1])]


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.parquet", "x,y\n1,2\n")
    assert error_of(path).startswith(f"{path}: not valid Parquet near row 1: ")


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip"])
def test_parquet_whose_pages_are_broken_is_refused(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"x": [f"text number {i}" for i in range(1000)]})
    pq.write_table(table, path, compression=compression, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[200:2000] = bytes(1800)
    path.write_bytes(bytes(content))
    message = error_of(path)
    assert message.startswith(f"{path}: not valid Parquet near row 1: ")
    assert "\n" not in message


def test_parquet_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    bytes_column = pa.array([b"caf\xe9"])
    text = pa.StringArray.from_buffers(1, bytes_column.buffers()[1], bytes_column.buffers()[2])
    pq.write_table(pa.table({"x": text}), tmp_path / "a.parquet")
    assert "not valid Parquet near row 1" in error_of(tmp_path / "a.parquet")


def test_two_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), tmp_path / "a.parquet")
    assert "'x' occurs twice" in error_of(tmp_path / "a.parquet")


# files


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert error_of(tmp_path / "a.jsonl").startswith(f"{tmp_path / 'a.jsonl'}: no such file")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    assert "the file is empty" in error_of(written(tmp_path, name, ""))


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([], pa.string())}), tmp_path / "a.parquet")
    for path in (written(tmp_path, "a.jsonl", "\n \n"), written(tmp_path, "a.csv", "x,y\n"), tmp_path / "a.parquet"):
        assert "the file holds no row" in error_of(path)


@pytest.mark.parametrize("name", ["a.txt", "a"])
def test_an_unknown_ending_is_refused(tmp_path: Path, name: str) -> None:
    message = error_of(written(tmp_path, name, '{"x": 1}\n'))
    assert (
        ".csv, .tsv, .jsonl, .ndjson, .json, .xlsx, .parquet, .arrow, .feather, also with .gz" in message
        and "save it as CSV, JSONL or Parquet" in message
    )
    assert "ingest.format" in message


def test_a_requested_format_takes_precedence_over_the_file_ending(tmp_path: Path) -> None:
    assert list(read(written(tmp_path, "a.txt", '{"x": 1}\n'), "jsonl")) == [(1, {"x": 1})]
    assert format_of(Path("A.CSV")) == "csv"
