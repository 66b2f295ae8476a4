"""``ingest@S``: the files of a source → ``data/raw/S.parquet``.

Columns: those of the files, ``row_id`` (hash of the row's content), ``source_file`` (name without its endings) and
``source_line`` (line of a text file, row of a sheet, or number of the row, from 1); see ``tasks.text.raw_rows``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.files import digest
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.ingest.formats import FORMATS, name_of
from tasks.ingest.header import Note
from tasks.ingest.params import IngestParams
from tasks.ingest.readers import ignore, read
from tasks.text.raw_rows import Survey, write_raw
from tasks.text.rows import Row

logger = logging.getLogger("tunesmith")

OWN_COLUMNS = {"row_id": pa.string(), "source_file": pa.string(), "source_line": pa.int64()}
"""Columns that Tunesmith adds to those of a file."""


def data_files(folder: Path) -> list[Path]:
    """The files of a source, in the order of their names.

    Raises:
        TunesmithError: the folder is missing, has no file, or has a folder in it, which would not be read.
    """
    paths = sorted(p for p in folder.glob("*") if not p.name.startswith("."))
    if folders := [p for p in paths if p.is_dir()]:
        raise TunesmithError(f"{folders[0]}: a source's files must be in one folder; move them up to {folder}")
    if not paths:
        raise TunesmithError(
            f"{folder}: no data file; add one ({', '.join(FORMATS)}) "
            f"with `tunesmith data add FILE --name {folder.name}`"
        )
    return paths


def own_rows(path: Path, params: IngestParams, note: Note = ignore) -> Iterator[tuple[int, Row]]:
    """Yield (line, row) of one file, with the columns of the file only.

    Raises:
        TunesmithError: a required column is missing, or a column has a name of ``OWN_COLUMNS``.
    """
    numbered = read(path, params.format, params.delimiter, params.sheet, note)
    for line, row in islice(numbered, params.limit):
        missing = [column for column in params.required if column not in row]
        if missing:
            raise TunesmithError(
                f"{path}:{line}: column {missing[0]!r} is missing; the row has {', '.join(sorted(row))}; "
                "correct the row or `ingest.required` of the source"
            )
        taken = [column for column in OWN_COLUMNS if column in row]
        if taken:
            raise TunesmithError(f"{path}:{line}: column {taken[0]!r} is Tunesmith's own; rename yours")
        yield line, row


def checked_rows(path: Path, params: IngestParams, note: Note = ignore) -> Iterator[tuple[int, Row]]:
    """As ``own_rows``, with the checks of ``rows_of`` but without the time that ids take.

    Raises:
        TunesmithError: as ``rows_of``.
    """
    for line, row in own_rows(path, params, note):
        try:
            for name, value in row.items():
                for text in (name, value if isinstance(value, str) else _encoded(value)):
                    if not text.isascii():
                        text.encode()
        except (UnicodeEncodeError, RecursionError) as error:
            raise _unreadable(path, line, error) from None
        yield line, row


def _encoded(value: Any) -> str:
    return _ENCODER.encode(value) if isinstance(value, list | dict) else ""


_ENCODER = json.JSONEncoder(ensure_ascii=False)


def rows_of(path: Path, params: IngestParams, note: Note = ignore) -> Iterator[Row]:
    """Yield the rows of one file, with the columns ``OWN_COLUMNS`` added.

    Raises:
        TunesmithError: as ``own_rows``, or text is not Unicode.
    """
    source_file = name_of(path)
    for line, row in own_rows(path, params, note):
        try:
            row_id = digest(row)[:24]
        except (UnicodeEncodeError, RecursionError) as error:
            raise _unreadable(path, line, error) from None
        yield {**row, "row_id": row_id, "source_file": source_file, "source_line": line}


def _unreadable(path: Path, line: int, error: UnicodeEncodeError | RecursionError) -> TunesmithError:
    if isinstance(error, RecursionError):
        return TunesmithError(f"{path}:{line}: a value holds too many lists in lists; correct the row")
    half = error.object[error.start]
    return TunesmithError(
        f"{path}:{line}: text must be Unicode; it holds half of a surrogate pair ({half!a}); correct the row"
    )


def survey_of(paths: Iterable[Path], params: IngestParams, note: Note = ignore) -> Survey:
    """The types of the values in all rows of some files."""
    survey = Survey()
    for path in paths:
        for _, row in own_rows(path, params, note):
            survey.add(row)
    return survey


def run(name: str, params: IngestParams, paths: Paths, stage: Stage) -> None:
    """Read all files of the source ``name`` and write ``data/raw/name.parquet``.

    The files are read twice, first for the types of all columns: all rows may not fit into memory.
    """
    sources = data_files(paths.source(name))
    survey, withheld, seen = survey_of(sources, params, logger.warning), set(params.withheld), set()

    def kept() -> Iterator[Row]:
        for path in sources:
            for row in rows_of(path, params):
                if row["row_id"] in withheld:
                    seen.add(row["row_id"])
                else:
                    yield row

    with stage.outputs(paths.raw(name)) as (output,):
        rows = write_raw(output, kept(), survey, OWN_COLUMNS)
    logger.info("%s: %d rows of %d files, columns %s", name, rows, len(sources), ", ".join(survey.columns()))
    if withheld:
        left_out = f"left out the rows of {counted(len(seen), 'withheld row_id')}"
        others = f"; the files lack {len(withheld) - len(seen)} more" if len(withheld) > len(seen) else ""
        logger.info("%s: ingest %s%s", name, left_out, others)
