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
from tasks.ingest.run import OWN_COLUMNS, run
from tasks.text.raw_rows import read_raw

Rows = list[dict[str, Any]]


def ingest(root: Path, files: dict[str, Rows | str], **params: Any) -> Rows:
    """The rows of ``data/raw/s.parquet`` after a run over files (name → rows of JSONL, or text)."""
    folder = root / "data/sources/s"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        (folder / name).write_text(text, encoding="utf-8")
    run("s", IngestParams(**params), Paths(root), Stage("ingest@s", root))
    return list(read_raw(root / "data/raw/s.parquet"))


def error_of(root: Path, files: dict[str, Rows | str], **params: Any) -> str:
    with pytest.raises(TunesmithError) as caught:
        ingest(root, files, **params)
    assert not (root / "data/raw/s.parquet").exists()
    return str(caught.value)


def contents(rows: Rows) -> Rows:
    """``rows`` without the columns that Tunesmith adds."""
    return [{name: value for name, value in row.items() if name not in OWN_COLUMNS} for row in rows]


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


def test_a_column_that_appears_late_is_absent_before(tmp_path: Path) -> None:
    rows: Rows = [{"x": i} for i in range(10_001)] + [{"x": 10_001, "late": ["a"]}, {"x": 2.5, "late": []}]
    table = ingest(tmp_path, {"a.jsonl": rows})
    assert contents(table) == rows and repr(contents(table)) == repr(rows)
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


MIXED: list[list[Any]] = [
    [1, 2, "a", 3],
    ["a", None, 1],
    [None, [1], "a"],
    [["a"], ["b"], [1]],
    [{"k": 1}, {"k": "a"}, {"l": None}, {}],
    [1, True, 2.5, "true", 4, 4.0, -0.0],
    [["a", 1, {"b": []}]],
    [1, 10**30, -(10**30)],
    [2**63 - 1, -(2**63)],
    [0.1, 1e-320, 1.7976931348623157e308, 1 / 3],
    [None, None],
    [" a ", "\t", "a\r\n", "\u0000", "", "\U0001f469\u200d\U0001f467"],
]


@pytest.mark.parametrize("values", MIXED)
def test_values_of_any_types_come_back_as_they_are(tmp_path: Path, values: list[Any]) -> None:
    rows: Rows = [{"y": "same", "x": value} for value in values]
    for number, some in enumerate((rows, [*rows, {"y": "without"}])):
        assert repr(contents(ingest(tmp_path / str(number), {"a.jsonl": some}))) == repr(
            [dict(sorted(row.items(), reverse=True)) for row in some]
        )


def test_values_of_other_types_far_behind_and_in_another_file_come_back_too(tmp_path: Path) -> None:
    rows: Rows = [{"x": i} for i in range(10_005)] + [{"x": "odd"}, {"x": None}, {}]
    table = ingest(tmp_path, {"a.jsonl": rows, "b.jsonl": [{"x": [1.5]}]})
    assert repr(contents(table)) == repr([*rows, {"x": [1.5]}])


def test_a_column_of_one_type_is_stored_with_it(tmp_path: Path) -> None:
    rows: Rows = [{"text": "a", "n": 1, "f": 0.5, "b": True, "tags": []}, {"text": None, "n": 2, "f": 1.5, "b": False}]
    ingest(tmp_path, {"a.jsonl": rows})
    types = {field.name: str(field.type) for field in pq.read_schema(tmp_path / "data/raw/s.parquet")}
    own_types = {"row_id": "string", "source_file": "string", "source_line": "int64"}
    assert types == {"text": "string", "n": "int64", "f": "double", "b": "bool", "tags": "string"} | own_types


def test_equal_files_give_an_equal_table(tmp_path: Path) -> None:
    files: dict[str, Rows | str] = {"a.jsonl": [{"x": i, "y": {"k": str(i)}} for i in range(9000)]}
    for root in (tmp_path / "1", tmp_path / "2"):
        ingest(root, files)
    one, other = ((tmp_path / root / "data/raw/s.parquet").read_bytes() for root in "12")
    assert one == other


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


def test_withheld_rows_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows: Rows = [{"x": "one"}, {"x": "two"}, {"x": "one"}]
    first = ingest(tmp_path, {"a.jsonl": rows})[0]["row_id"]
    with caplog.at_level("INFO", logger="tunesmith"):
        assert [row["x"] for row in ingest(tmp_path, {"a.jsonl": rows}, withheld=[first, "gone"])] == ["two"]
    assert "s: ingest left out the rows of 1 withheld row_id; the files lack 1 more" in caplog.text
