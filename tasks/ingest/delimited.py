"""Read CSV and TSV files: every cell is text."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

from tasks.core.errors import TunesmithError
from tasks.ingest.formats import ending_of
from tasks.ingest.header import Note, cut_names, refuse_repeated
from tasks.ingest.opening import lines
from tasks.text.rows import Row

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
"""Delimiter of CSV that is recognised → its name."""

_SNIFFED_ROWS = 20


def delimiter_of(path: Path) -> str:
    """Recognise the delimiter of a CSV file from its header and first rows: a comma, semicolon, tab or pipe.

    The delimiter splits the header, and splits each row into as many cells as the header. If no delimiter splits the
    header, the file has one column. A first line ``sep=;``, as Excel writes it, decides, and the ending ``.tsv`` means
    a tab. ``csv.Sniffer`` is not used: it counts characters inside texts, and takes a letter for the delimiter of a
    column of sentences.

    Raises:
        TunesmithError: several delimiters fit, or the file may as well have one column.
    """
    if ending_of(path) == ".tsv":
        return "\t"
    first = next(lines(path), (1, ""))[1]
    if stated := _STATED_DELIMITER.fullmatch(first.rstrip("\r\n")):
        return stated.group(1)
    heads = {delimiter: _head(path, delimiter) for delimiter in DELIMITERS}
    widths = {delimiter: [len(cells) for _, cells in head] for delimiter, head in heads.items()}
    splitting = [delimiter for delimiter, cells in widths.items() if cells and cells[0] > 1]
    regular = [delimiter for delimiter in splitting if len(set(widths[delimiter])) == 1]
    one_column = set(widths[","]) == {1}
    if len(regular) == 1:
        return regular[0]
    if not splitting or (not regular and "," in splitting):  # a row that does not fit is named when it is read
        return ","
    if len(splitting) == 1 and not one_column:
        return splitting[0]
    fitting = regular or splitting
    could = [f"{DELIMITERS[delimiter]} ({_cells(widths[delimiter])})" for delimiter in fitting]
    options = [f"`--delimiter {DELIMITERS[delimiter]}`" for delimiter in fitting]
    if one_column:
        could.append("none (one column)")
        options.append("`--delimiter comma` (one column)")
    ragged = [_ragged(heads[delimiter], delimiter) for delimiter in fitting if delimiter not in regular]
    raise TunesmithError(
        f"{path}: the delimiter of a CSV file must be clear from its header and first rows; it could be "
        f"{' or '.join(could)}; {''.join(ragged)}add {' or '.join(options)} to `tunesmith data add`, or name it as "
        "`delimiter` under `ingest` of the source in params/sources.yaml"
    )


_STATED_DELIMITER = re.compile(r"sep=([,;\t|])", re.IGNORECASE)


def checked_delimiter(path: Path, requested: str) -> str:
    """The delimiter of a CSV file: as requested, or recognised for ``auto``.

    Raises:
        TunesmithError: the requested delimiter gives one column, and another one splits header and rows.
    """
    if requested == "auto":
        return delimiter_of(path)
    head = _head(path, requested)
    if not head or len(head[0][1]) > 1:
        return requested
    for other, name in DELIMITERS.items():
        widths = {len(cells) for _, cells in _head(path, other)}
        if len(widths) == 1 and widths != {1}:
            raise TunesmithError(
                f"{path}: with the delimiter {DELIMITERS[requested]} the file has one column named {head[0][1][0]!r}; "
                f"use `--delimiter {name}` (in params/sources.yaml: `delimiter: {json.dumps(other)}` under `ingest`), "
                "or quote the name if the file has one column"
            )
    return requested


def _head(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """Line and cells of the header and of the first rows; empty if they are not valid CSV with this delimiter."""
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader((line for _, line in lines(path)), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if cells and not (start == 1 and _STATED_DELIMITER.fullmatch(delimiter.join(cells))):
                rows.append((start, cells))
            start = reader.line_num + 1
            if len(rows) > _SNIFFED_ROWS:
                break
    except csv.Error:
        return []
    return [] if rows and len(set(rows[0][1])) < len(rows[0][1]) else rows


def _cells(widths: list[int]) -> str:
    return f"{' or '.join(map(str, sorted(set(widths))))} cells per row"


def _ragged(head: list[tuple[int, list[str]]], delimiter: str) -> str:
    """A phrase on the first row whose number of cells differs from the header's."""
    width = len(head[0][1])
    line, cells = next((line, cells) for line, cells in head if len(cells) != width)
    number = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
    cause = " (quote a cell that holds the delimiter)" if len(cells) > width else ""
    return f"with {DELIMITERS[delimiter]}, line {line} has {number}, not {width} as the header{cause}; "


def read_csv(path: Path, delimiter: str, note: Note) -> Iterator[tuple[int, Row]]:
    """Yield (line from 1, row); blanks around a column's name are cut."""
    # Cells of documents are longer than the module's default limit of 131,072 characters.
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader((line for _, line in lines(path)), delimiter=delimiter, strict=True)
    header: list[str] = []
    start = 1
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1  # a row with line ends in its cells counts from its first line
            if not cells or (line == 1 and _STATED_DELIMITER.fullmatch(delimiter.join(cells))):
                continue
            if not header:
                header = cut_names(path, cells, note)
                refuse_repeated(path, header)
                continue
            if len(cells) != len(header):
                raise TunesmithError(
                    f"{path}:{line}: a row must have as many cells as the header ({len(header)}); it has {len(cells)}; "
                    f"quote cells that hold line ends or the delimiter ({DELIMITERS.get(delimiter, delimiter)})"
                )
            yield line, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise TunesmithError(
            f"{path}:{start}: not valid CSV: {error}; correct the row that begins in this line"
        ) from None
