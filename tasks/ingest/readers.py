"""Read a file row by row, whatever its format; errors name file and line.

A row holds JSON values only: text, numbers, true, false, null, lists and objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.core.errors import TunesmithError
from tasks.ingest.columnar import read_arrow, read_parquet
from tasks.ingest.delimited import checked_delimiter, read_csv
from tasks.ingest.excel import read_excel
from tasks.ingest.formats import format_of
from tasks.ingest.header import Note
from tasks.ingest.json_files import read_json
from tasks.text.rows import Row


def ignore(note: str) -> None:
    """Drop a note of a reader."""


def read(
    path: Path, requested: str = "auto", delimiter: str = "auto", sheet: str | None = None, note: Note = ignore
) -> Iterator[tuple[int, Row]]:
    """Yield (line or row number from 1, row) of a file.

    Args:
        requested: a format of ``tasks.ingest.formats.FORMATS``, or ``auto`` for the one that the file has.
        delimiter: delimiter of a CSV file; ``auto`` recognises it (see ``tasks.ingest.delimited.delimiter_of``).
        sheet: name of the sheet of an Excel workbook; None for its only sheet.
        note: gets a sentence about each thing that is read in another way than it is written.

    Raises:
        TunesmithError: the file is missing, empty, not UTF-8, has a broken line or no row; its delimiter is ambiguous;
            another delimiter than ``delimiter`` splits its header and rows; or a workbook has several sheets.
    """
    if not path.exists():
        raise TunesmithError(
            f"{path}: no such file; correct the path, or add the file to a source (`tunesmith data add FILE --name S`)"
        )
    if path.stat().st_size == 0:
        raise TunesmithError(f"{path}: the file is empty; a source needs at least one row")
    empty = True
    for number, row in _rows(path, format_of(path, requested), delimiter, sheet, note):
        empty = False
        yield number, row
    if empty:
        raise TunesmithError(f"{path}: the file holds no row; a source needs at least one row")


def _rows(path: Path, form: str, delimiter: str, sheet: str | None, note: Note) -> Iterator[tuple[int, Row]]:
    if form in ("jsonl", "json"):
        return read_json(path, form, note)
    if form == "csv":
        return read_csv(path, checked_delimiter(path, delimiter), note)
    if form == "excel":
        return read_excel(path, sheet, note)
    return read_parquet(path) if form == "parquet" else read_arrow(path)
