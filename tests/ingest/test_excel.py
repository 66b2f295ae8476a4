"""Excel sheets: cells arrive as the sheet shows them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.ingest.readers import read
from tests.ingest.workbook import write_workbook


def rows_of(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [row for _, row in read(path, **options)]


def error_of(path: Path, **options: Any) -> str:
    with pytest.raises(TunesmithError) as caught:
        list(read(path, **options))
    return str(caught.value)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (5, 5),
        (5.0, 5),
        (-3.0, -3),
        (2.5, 2.5),
        (0.1 + 0.2, 0.3),
        (12345678901.5, 12345678901.5),
        (True, True),
        (None, None),
        ("007", "007"),
        ("1.0", "1.0"),
        ("  two\nlines ", "  two\nlines "),
        ("Grüße, 你好 & <b>", "Grüße, 你好 & <b>"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 13, 30), "2024-02-29 13:30:00"),
    ],
)
def test_a_cell_is_what_the_sheet_shows(tmp_path: Path, cell: Any, value: Any) -> None:
    path = write_workbook(tmp_path / "a.xlsx", {"Sheet": [["text", "x"], ["a", cell]]})
    assert repr(rows_of(path)) == repr([{"text": "a", "x": value}])


def test_empty_rows_are_left_out_and_rows_have_the_numbers_of_the_sheet(tmp_path: Path) -> None:
    cells = [[], ["q", " a ", None], [None, None], ["1", None], [], [None, "2"]]
    path = write_workbook(tmp_path / "a.xlsx", {"Sheet": cells})
    notes: list[str] = []
    assert list(read(path, note=notes.append)) == [(4, {"q": "1", "a": None}), (6, {"q": None, "a": "2"})]
    assert notes == ["a.xlsx: blanks around the names of columns are cut: ' a '"]


def test_one_of_several_sheets_must_be_named(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "a.xlsx", {"May": [["x"], [1]], "June": [["x"], [2]]})
    assert "the workbook has several sheets: 'May', 'June'; name one with `--sheet`" in error_of(path)
    assert "no sheet 'July'; there are: 'May', 'June'" in error_of(path, sheet="July")
    assert rows_of(path, sheet="June") == [{"x": 2}]


def test_a_cell_without_a_column_name_and_a_name_twice_are_refused(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "a.xlsx", {"Sheet": [["x"], [1], [2, "note"]]})
    assert error_of(path).startswith(f"{path}:3: every cell needs a name in the first row of the sheet; column B has")
    assert "'x' occurs twice" in error_of(write_workbook(tmp_path / "b.xlsx", {"Sheet": [["x", "x "], [1, 2]]}))


@pytest.mark.parametrize("sheet", [[], [["x", "y"]]])
def test_a_sheet_without_rows_is_refused(tmp_path: Path, sheet: list[list[Any]]) -> None:
    assert "the file holds no row" in error_of(write_workbook(tmp_path / "a.xlsx", {"Sheet": sheet}))


@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", b"\xd0\xcf\x11\xe0 no workbook", b"x,y\n1,2\n"])
def test_a_file_that_is_no_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    assert error_of(path).startswith(f"{path}: not a valid Excel workbook: ")
