"""Read one sheet of an Excel workbook; its first row that is not empty names the columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import IO, Any

from tasks.core.errors import TunesmithError
from tasks.ingest.header import Note, cut_names, refuse_repeated
from tasks.ingest.opening import seekable
from tasks.text.rows import Row

_DIGITS = 15
"""Significant digits of a number in Excel."""


def read_excel(path: Path, sheet: str | None, note: Note) -> Iterator[tuple[int, Row]]:
    """Yield (number of the row in the sheet, row); an empty cell is None, and a date is ISO text.

    Args:
        sheet: its name; None for the only sheet.
    """
    with seekable(path) as content:
        rows = enumerate(_cells(path, content, sheet), start=1)
        header = next((cells for _, cells in rows if any(cell != "" for cell in cells)), None)
        if header is None:
            return
        names = cut_names(path, [str(_value(cell) if cell != "" else "") for cell in header], note)
        refuse_repeated(path, [name for name in names if name])
        for number, cells in rows:
            values = [_value(cell) for cell in cells]
            if all(value is None for value in values):
                continue
            _refuse_unnamed(path, number, names, values)
            yield number, {name: value for name, value in zip(names, values, strict=False) if name}


def _cells(path: Path, content: IO[bytes], sheet: str | None) -> Iterator[list[Any]]:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        workbook = CalamineWorkbook.from_filelike(content)
        table = workbook.get_sheet_by_name(_sheet(path, workbook.sheet_names, sheet))
        rows = table.to_python(skip_empty_area=False)
    except CalamineError as error:
        reason = " ".join(str(error).split())
        raise TunesmithError(
            f"{path}: not a valid Excel workbook: {reason}; save it as .xlsx or CSV, or unpack it if it is an archive"
        ) from None
    yield from rows


def _sheet(path: Path, names: list[str], requested: str | None) -> str:
    if requested is None and len(names) == 1:
        return names[0]
    listed = ", ".join(map(repr, names))
    if requested is None:
        raise TunesmithError(
            f"{path}: the workbook has several sheets: {listed}; name one with `--sheet`, or as `sheet` under `ingest` "
            "of the source in params/sources.yaml"
        )
    if requested not in names:
        raise TunesmithError(f"{path}: no sheet {requested!r}; there are: {listed}; correct `sheet`")
    return requested


def _value(cell: Any) -> Any:
    """The value of a cell as its sheet shows it: 5 for 5.0, and no more digits than Excel has."""
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, float):
        shown = float(f"{cell:.{_DIGITS}g}")
        return int(shown) if shown.is_integer() else shown
    if isinstance(cell, date | datetime | time | timedelta):
        return str(cell)
    return None if cell == "" else cell


def _refuse_unnamed(path: Path, number: int, names: list[str], values: list[Any]) -> None:
    unnamed = [i for i, value in enumerate(values) if value is not None and (i >= len(names) or not names[i])]
    if unnamed:
        raise TunesmithError(
            f"{path}:{number}: every cell needs a name in the first row of the sheet; column "
            f"{_letters(unnamed[0])} has none; name it or empty its cells"
        )


def _letters(index: int) -> str:
    """The letters of a column: A, …, Z, AA, …"""
    high, low = divmod(index, 26)
    return (_letters(high - 1) if high else "") + chr(ord("A") + low)
