"""``ingest``: all columns of all rows in one table, with ids that hang on the content alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.ingest.params import IngestParams
from tasks.ingest.run import run

Rows = list[dict[str, Any]]


def ingest(root: Path, files: dict[str, Rows | str], **params: Any) -> Rows:
    """The rows of ``data/raw/s.parquet`` after a run over files (name → rows of JSONL, or text)."""
    folder = root / "data/sources/s"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        (folder / name).write_text(text, encoding="utf-8")
    run("s", IngestParams(**params), Paths(root), Stage("ingest@s", root))
    return pq.read_table(root / "data/raw/s.parquet").to_pylist()


def error_of(root: Path, files: dict[str, Rows | str], **params: Any) -> str:
    with pytest.raises(TunesmithError) as caught:
        ingest(root, files, **params)
    assert not (root / "data/raw/s.parquet").exists()
    return str(caught.value)


def own(rows: Rows) -> list[tuple[str, int]]:
    return [(row["source_file"], row["source_line"]) for row in rows]


def test_files_are_read_in_the_order_of_their_names_and_rows_keep_file_and_line(tmp_path: Path) -> None:
    rows = ingest(tmp_path, {"b.csv": "x\nthree\n", "a.jsonl": '{"x": "one"}\n\n{"x": "two"}\n'})
    assert [row["x"] for row in rows] == ["one", "two", "three"]
    assert own(rows) == [("a", 1), ("a", 3), ("b", 2)]


def test_nested_values_and_nulls_are_kept(tmp_path: Path) -> None:
    rows: Rows = [
        {"turns": [{"who": "A", "says": "hi"}, {"who": "B", "says": None}], "meta": {"n": 1}, "tags": []},
        {"turns": None, "meta": None, "tags": ["x", None]},
    ]
    table = ingest(tmp_path, {"a.jsonl": rows})
    assert [{key: row[key] for key in rows[0]} for row in table] == rows


def test_empty_objects_become_nulls_since_parquet_cannot_hold_them(tmp_path: Path) -> None:
    table = ingest(tmp_path, {"a.jsonl": [{"x": 1, "meta": {}, "deep": {"a": {}, "b": 1}}]})
    assert (table[0]["meta"], table[0]["deep"]) == (None, {"a": None, "b": 1})


def test_a_column_that_appears_only_after_ten_thousand_rows_is_null_before(tmp_path: Path) -> None:
    rows: Rows = [{"x": i} for i in range(10_001)] + [{"x": 10_001, "late": ["a"]}, {"x": 2.5, "late": []}]
    table = ingest(tmp_path, {"a.jsonl": rows})
    assert len(table) == 10_003
    assert [row["late"] for row in table[-3:]] == [None, ["a"], []]
    assert all(row["late"] is None for row in table[:10_001])
    assert [row["x"] for row in table] == [row["x"] for row in rows]
    assert len({row["row_id"] for row in table}) == 10_003


# row_id


def test_a_row_id_depends_on_the_content_alone(tmp_path: Path) -> None:
    row, other = {"x": "a", "y": [1, None]}, {"x": "b", "y": []}
    alone = ingest(tmp_path / "1", {"a.jsonl": [row]})[0]["row_id"]
    among = ingest(tmp_path / "2", {"a.jsonl": [other], "z.jsonl": [other, dict(reversed(row.items())), other]})
    ids = [r["row_id"] for r in among]
    assert ids[2] == alone, "other rows, the place and the order of the keys change nothing"
    assert len(set(ids)) == 2


def test_a_row_id_is_the_same_for_ever(tmp_path: Path) -> None:
    # printf '{"x":"a","y":[1,null]}' | sha256sum | cut -c-24
    assert ingest(tmp_path, {"a.jsonl": [{"y": [1, None], "x": "a"}]})[0]["row_id"] == "17ce6829849469bb5e5e701f"


@pytest.mark.parametrize("changed", [{"x": "a "}, {"x": "A"}, {"x": "a", "y": None}, {"y": "a"}, {"x": ["a"]}])
def test_another_content_has_another_row_id(tmp_path: Path, changed: dict[str, Any]) -> None:
    ids = [ingest(tmp_path / str(i), {"a.jsonl": [row]})[0]["row_id"] for i, row in enumerate(({"x": "a"}, changed))]
    assert ids[0] != ids[1]


# parameters


def test_a_required_column_that_a_row_lacks_is_named_with_those_it_has(tmp_path: Path) -> None:
    message = error_of(tmp_path, {"a.jsonl": [{"x": 1, "y": 2}, {"z": 3, "y": 4}]}, required=["y", "x"])
    assert message.startswith(f"{tmp_path}/data/sources/s/a.jsonl:2: column 'x' is missing; the row has y, z;")


def test_a_required_column_may_be_null(tmp_path: Path) -> None:
    assert ingest(tmp_path, {"a.jsonl": [{"x": None}]}, required=["x"])[0]["x"] is None


def test_limit_keeps_the_first_rows_of_each_file(tmp_path: Path) -> None:
    files: dict[str, Rows | str] = {name: [{"x": i} for i in range(5)] for name in ("a.jsonl", "b.jsonl")}
    assert own(ingest(tmp_path, files, limit=2)) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert len(ingest(tmp_path, files, limit=9)) == 10


def test_a_delimiter_is_recognised_for_each_file_or_given_for_all(tmp_path: Path) -> None:
    files: dict[str, Rows | str] = {"a.csv": "x;y\n1;2\n", "b.csv": "x,y\n3,4\n"}
    assert [(row["x"], row["y"]) for row in ingest(tmp_path / "1", files)] == [("1", "2"), ("3", "4")]
    ambiguous = "id;price,currency\n1;2,5\n"
    assert "it could be comma" in error_of(tmp_path / "2", {"a.csv": ambiguous})
    assert ingest(tmp_path / "2", {"a.csv": ambiguous}, delimiter=";")[0]["price,currency"] == "2,5"


# what is refused


@pytest.mark.parametrize(
    ("values", "line", "expected"),
    [
        ([1, 2, "a", 3], 3, "it is int64 before and string here"),
        (["a", None, 1], 3, "it is string before and int64 here"),
        ([None, [1], "a"], 3, "it is list<item: int64> before and string here"),
        ([["a"], ["b"], [1]], 3, "it is list<item: string> before and list<item: int64> here"),
        ([{"k": 1}, {"k": "a"}], 2, "it is struct<k: int64> before and struct<k: string> here"),
        ([1, True], 2, "it is int64 before and bool here"),
        ([2.5, True], 2, "it is double before and bool here"),
        ([["a", 1]], 1, "must have a value that Parquet can hold"),
        ([1, 10**30], 2, "must have a value that Parquet can hold"),
    ],
)
def test_mixed_types_in_a_column_are_named_by_file_and_line(
    tmp_path: Path, values: list[Any], line: int, expected: str
) -> None:
    message = error_of(tmp_path, {"a.jsonl": [{"y": "same", "x": value} for value in values]})
    assert message.startswith(f"a:{line}: column 'x' must have ")
    assert expected in message


def test_mixed_types_ten_thousand_rows_apart_are_named_too(tmp_path: Path) -> None:
    rows: Rows = [{"x": i} for i in range(10_005)] + [{"x": "odd"}, {"x": 1}]
    message = error_of(tmp_path, {"a.jsonl": rows})
    assert message.startswith("a:10006: column 'x' must have one type in all rows; it is int64 before and string here")


def test_whole_numbers_and_fractions_are_one_type(tmp_path: Path) -> None:
    assert [row["x"] for row in ingest(tmp_path, {"a.jsonl": [{"x": 1}, {"x": 2.5}, {"x": None}]})] == [1.0, 2.5, None]


def test_half_a_surrogate_pair_is_named_by_file_and_line(tmp_path: Path) -> None:
    message = error_of(tmp_path, {"a.jsonl": '{"x": "ok"}\n{"x": "\\ud83d"}\n'})
    assert message.startswith(f"{tmp_path}/data/sources/s/a.jsonl:2: text must be Unicode")


@pytest.mark.parametrize("column", ["row_id", "source_file", "source_line"])
def test_our_own_column_names_are_refused(tmp_path: Path, column: str) -> None:
    assert f"a.jsonl:1: column {column!r} is Tunesmith's own" in error_of(tmp_path, {"a.jsonl": [{column: 1}]})


def test_a_source_without_files_is_refused(tmp_path: Path) -> None:
    assert "no data file; add one" in error_of(tmp_path, {})
    assert "no data file; add one" in error_of(tmp_path, {".hidden.jsonl": [{"x": 1}]})


def test_a_folder_in_a_source_is_refused_since_it_would_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "data/sources/s/more").mkdir(parents=True)
    assert "data/sources/s/more: a source's files must be in one folder" in error_of(tmp_path, {"a.jsonl": [{"x": 1}]})
