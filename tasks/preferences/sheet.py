"""The pairs as CSV for a spreadsheet, and judges' CSV files read back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from tasks.core.errors import TunesmithError
from tasks.preferences.pairs import Shown

CHOICES = ("left", "right", "tie", "bad")
"""A judge's choices: the left or the right answer is better, both are equally good, both are bad."""

COLUMNS = ("export", "pair", "prompt", "left", "right", "choice")
REQUIRED = ("export", "pair", "choice")

CELL = 32_767
"""Characters that a cell of Excel and of LibreOffice Calc holds."""

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""A spreadsheet may run a cell that starts with one of these (OWASP, "CSV Injection"; the last four are full-width)."""


def guard(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula. ``unguard`` returns the text exactly.

    A text that begins with the guard itself, an apostrophe, gets another one.
    """
    risky = text.startswith((*_FORMULA, "'")) or text.lstrip().startswith(_FORMULA)
    return f"'{text}" if risky else text


def unguard(cell: str) -> str:
    return cell.removeprefix("'")


def sheet(export: str, pairs: list[Shown]) -> str:
    """CSV with ``COLUMNS``, one row per pair, and an empty ``choice``."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for pair in pairs:
        writer.writerow([export, pair.id, *map(guard, (pair.prompt, pair.left, pair.right)), ""])
    return text.getvalue()


ENCODING = "utf-8-sig"
"""Excel reads a CSV as UTF-8 only if it starts with this mark."""


def read_sheet(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a judge's CSV as (number that a spreadsheet shows, cells by column); rows without any text are left out.

    Cells are separated by commas, or by semicolons or tabs, as spreadsheets write them in some countries.

    Raises:
        TunesmithError: the file is missing, not UTF-8 or no CSV, or lacks a column of ``REQUIRED``.
    """
    csv.field_size_limit(2**31 - 1)  # prompts may be longer than the module's 131,072 characters
    text = _text(path)
    delimiter = next((d for d in ",;\t" if set(REQUIRED) <= set(_header(text, d))), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if not columns:
                columns = _columns(path, cells)
            elif any(cell.strip() for cell in cells):
                if len(cells) != len(columns):
                    raise TunesmithError(
                        f"{path}: row {number}: must have as many cells as the first row ({len(columns)}); it has "
                        f"{len(cells)}; save the file anew from the spreadsheet as CSV"
                    )
                yield number, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise TunesmithError(f"{path}: row {number + 1}: not valid CSV: {error}; save the file anew as CSV") from None
    if not columns:
        raise TunesmithError(f"{path}: a file of answers needs the columns {', '.join(REQUIRED)}; it is empty")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(ENCODING)
    except FileNotFoundError:
        raise TunesmithError(f"{path}: no such file; name a judge's CSV file") from None
    except UnicodeDecodeError as error:
        raise TunesmithError(
            f"{path}: not UTF-8 at byte {error.start}; save it from the spreadsheet as `CSV UTF-8`"
        ) from None


def _header(text: str, delimiter: str) -> list[str]:
    return [_column(cell) for cell in next(csv.reader(text.splitlines()[:1], delimiter=delimiter), [])]


def _column(cell: str) -> str:
    return cell.strip().lower()


def _columns(path: Path, cells: list[str]) -> list[str]:
    columns = [_column(cell) for cell in cells]
    if missing := [name for name in REQUIRED if name not in columns]:
        raise TunesmithError(
            f"{path}: row 1: a file of answers needs the columns {', '.join(REQUIRED)}; missing: {', '.join(missing)}; "
            f"there are: {', '.join(filter(None, columns)) or 'none'}; keep the first row as it was exported"
        )
    if twice := [name for name in (*COLUMNS, "judge") if columns.count(name) > 1]:
        raise TunesmithError(f"{path}: row 1: the column {twice[0]!r} occurs twice; remove one")
    return columns
