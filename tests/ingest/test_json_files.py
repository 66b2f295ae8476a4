"""JSON in all its shapes: an object per line, an array, an array in an object; numbers stay what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.ingest import opening
from tasks.ingest.readers import read

ROWS: list[dict[str, Any]] = [
    {"instruction": 'Say "}{][,:".', "input": "", "output": "a\\n\u2028"},
    {"instruction": "é" * 50, "nested": [[], {}, [{"k": [1, 2.50, -0.0, 1e-7, 10**40]}], None, True]},
    {},
]


def rows_of(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [row for _, row in read(path, **options)]


def error_of(path: Path) -> str:
    with pytest.raises(TunesmithError) as caught:
        list(read(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson"])
@pytest.mark.parametrize("indent", [None, 0, 2, "\t"])
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_an_array_is_read_whatever_its_lines_and_ending(
    tmp_path: Path, name: str, indent: Any, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PIECE", piece)
    path = tmp_path / name
    path.write_text(json.dumps(ROWS, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert repr(list(read(path))) == repr(list(enumerate(ROWS, start=1)))


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_an_array_in_an_object_is_read(
    tmp_path: Path, indent: Any, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PIECE", piece)
    path = tmp_path / "a.json"
    around = {"version": 1.5, "tags": ["a", 2], "empty": [], "meta": {"rows": [{"no": 1}]}, "data": ROWS, "end": None}
    path.write_text(json.dumps(around, indent=indent))
    assert repr(rows_of(path)) == repr(ROWS)


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_an_object_per_line_is_read_whatever_the_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_text("".join(json.dumps(row) + "\r\n" for row in ROWS))
    assert repr(rows_of(path)) == repr(ROWS)


def test_one_line_of_jsonl_with_a_list_of_objects_is_a_row(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    for name, expected in {"a.jsonl": [row], "a.json": row["messages"]}.items():
        (tmp_path / name).write_text(json.dumps(row) + "\n")
        assert rows_of(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a": 1}, {"a": 2}', "not valid JSON in line 1, column 20: Expecting ',' or ']'"),
        ('[{"a": 1},\n {"a": 2},\n {"a" 3}]', "not valid JSON in line 3, column 7: Expecting ':' delimiter"),
        ('[{"a": 1} {"a": 2}]', "not valid JSON in line 1, column 11: Expecting ',' or ']'"),
        ('[{"a": 1},]', "not valid JSON in line 1, column 11: "),
        ('[{"a": 1}, 2]', "element 2 of the array must be a JSON object; it is a int"),
        ('["a"]', "element 1 of the array must be a JSON object; it is a str"),
        ('[{"a": 1}]\n[{"a": 2}]', "more follows the first value; `jq -c . a.json > NEW.jsonl`"),
        ('{\n "a": 1\n}\n{\n "a": 2\n}\n', "the object must hold the rows in an array of objects"),
        ('{\n "x": {"0": 1}\n}', "the object must hold the rows in an array of objects; it has none"),
        (
            '{"train": [{"a": 1}],\n "test": [{"a": 2}]}',
            "the rows must be in one array; 'train' and 'test' are arrays of objects; `jq -c '.train[]' a.json",
        ),
        ("[]", "the file holds no row"),
        ('[{"a": 1e999}]', "a number must be at most 1.8e308; it is 1e999"),
        ('[{"a": ' + "[" * 100_000, "not valid JSON"),
        ("[{", "not valid JSON in line 1"),
        ('[{"a": "x', "not valid JSON in line 1"),
    ],
)
@pytest.mark.parametrize("piece", [3, 1 << 20])
def test_what_is_wrong_in_an_array_is_named_with_the_remedy(
    tmp_path: Path, text: str, expected: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PIECE", piece)
    (tmp_path / "a.json").write_text(text)
    message = error_of(tmp_path / "a.json")
    assert message.startswith(f"{tmp_path / 'a.json'}: ") and expected in message


def test_text_that_is_not_utf_8_is_named_by_line_in_an_array_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'[\n{"x": "ok"},\n{"x": "caf\xe9"}]')
    assert error_of(path).startswith(f"{path}:3: text must be UTF-8; byte 11 of the line is 0xe9")


@pytest.mark.parametrize("form", ["lines", "array"])
def test_nan_and_infinity_are_null_and_told(tmp_path: Path, form: str) -> None:
    rows = [{"a": 1}, {"a": float("nan"), "b": [float("inf")]}, {"a": {"deep": -float("inf")}}]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(rows) if form == "array" else "".join(json.dumps(row) + "\n" for row in rows))
    notes: list[str] = []
    assert rows_of(path, note=notes.append) == [{"a": 1}, {"a": None, "b": [None]}, {"a": {"deep": None}}]
    assert notes == ["a.jsonl: 3 NaN or Infinity, which JSON lacks, are null; the first in 2"]


def test_a_number_that_no_float_holds_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": 1e400}\n')
    assert f"{tmp_path / 'a.jsonl'}:2: each line must be one JSON object; a number must be" in error_of(
        tmp_path / "a.jsonl"
    )
