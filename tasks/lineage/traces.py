"""How to recognise rows in other files: by their ids, and by pieces of their texts that no other row has."""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jinja2 import Environment

from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.ingest.params import IngestParams
from tasks.ingest.run import OWN_COLUMNS, data_files, rows_of
from tasks.resolve.check import mapping
from tasks.text.rows import Row

_ENVIRONMENT = Environment(autoescape=True)  # as of the pages (tasks.core.pages)

PIECE = 60
"""Length of a piece in characters. Reports and logs cut long texts, so a piece is as near to the start as possible."""

SHORTEST = 12
"""Fewest characters of a piece; shorter ones also occur in files that do not hold the row."""


@dataclass(frozen=True)
class Traces:
    """What to search for.

    Attributes:
        row_ids: ids of the rows.
        pieces: pieces of the rows' texts, as UTF-8 and as JSON and HTML write them.
        without_pieces: rows that have no piece.
        files: ``data/sources/S/FILE`` → lines of the rows.
        sources: row_id → sources whose files have the row; equal rows of two sources have one id.
    """

    row_ids: frozenset[str]
    pieces: frozenset[bytes]
    without_pieces: frozenset[str]
    files: dict[str, list[int]]
    sources: dict[str, set[str]]


def traces_of(row_ids: Collection[str], paths: Paths) -> Traces:
    """What identifies the rows, by the raw data and the files of all sources."""
    wanted = pa.array(sorted(set(row_ids)))
    pieces: set[bytes] = set()
    with_pieces: set[str] = set()
    lines: dict[str, list[int]] = {}
    sources: dict[str, set[str]] = {}
    for source in mapping(paths.params / "sources.yaml", "sources"):
        rows = []
        for path, row in _rows_of_source(source, set(row_ids), paths):
            lines.setdefault(path.relative_to(paths.root).as_posix(), []).append(row["source_line"])
            rows.append(row)
        if rows:
            for row in rows:
                sources.setdefault(row["row_id"], set()).add(source)
            others = _others(paths.raw(source), wanted)
            for row in rows:
                own = _pieces(row, others)
                pieces |= own
                with_pieces |= {row["row_id"]} if own else set()
    return Traces(frozenset(row_ids), frozenset(pieces), frozenset(row_ids) - with_pieces, lines, sources)


def _rows_of_source(source: str, row_ids: set[str], paths: Paths) -> Iterator[tuple[Path, Row]]:
    """The rows in the files of a source, which keep them until somebody removes them there."""
    folder = paths.source(source)
    if not folder.is_dir():
        return
    params = load(IngestParams, paths.params / "sources.yaml", "sources", source, "ingest")
    for path in data_files(folder):
        for row in rows_of(path, params):
            if row["row_id"] in row_ids:
                yield path, row


def _others(raw: Path, wanted: pa.Array) -> list[pa.Array]:
    """The texts of all other rows of a source, one array per text column or nested field."""
    if not raw.exists():
        return []
    table = pq.read_table(raw)
    table = table.filter(pc.invert(pc.is_in(table.column("row_id"), wanted)))
    return [texts for column in table.drop_columns(list(OWN_COLUMNS)).columns for texts in texts_in(column)]


def texts_in(column: pa.ChunkedArray | pa.Array) -> Iterator[pa.Array]:
    """The text arrays inside a column, with those in its lists and structs."""
    for array in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        kind = array.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            yield array
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            yield from texts_in(array.flatten())
        elif pa.types.is_struct(kind):
            for part in array.flatten():
                yield from texts_in(part)


def _pieces(row: Row, others: list[pa.Array]) -> set[bytes]:
    pieces: set[bytes] = set()
    for text in _texts({name: value for name, value in row.items() if name not in OWN_COLUMNS}):
        if (piece := _own_piece(text, others)) is not None:
            pieces |= {one.encode() for one in _as_written(piece)}
    return pieces


def _as_written(piece: str) -> set[str]:
    """``piece`` as JSON, HTML (by Jinja2 and by Python), a script in HTML, and CSV write it."""
    as_json = (json.dumps(piece)[1:-1], json.dumps(piece, ensure_ascii=False)[1:-1])
    by_jinja = (_ENVIRONMENT.from_string("{{ text }}"), _ENVIRONMENT.from_string("{{ text | tojson }}"))
    in_page, in_script = (template.render(text=piece) for template in by_jinja)
    as_html = (in_page, html.escape(piece), html.escape(piece, quote=False))
    return {piece, *as_json, *as_html, in_script[1:-1], piece.replace('"', '""')}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from _texts(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _texts(child)


def _own_piece(text: str, others: list[pa.Array]) -> str | None:
    """The first piece of ``text`` that no other row has; None if each piece is too short or also in another row."""
    for start in range(0, len(text), PIECE):
        piece = text[start : start + PIECE]
        if len(piece.strip()) < SHORTEST:
            continue
        if not any(pc.any(pc.match_substring(array, piece)).as_py() for array in others):
            return piece
    return None


def sources_of(row_ids: Collection[str], paths: Paths, traces: Traces) -> dict[str, list[str]]:
    """Source → the rows to withhold from it.

    Raises:
        TunesmithError: no source has one of the rows.
    """
    by_source: dict[str, list[str]] = {}
    withheld = withheld_rows(paths)
    for row_id in dict.fromkeys(row_ids):
        sources = traces.sources.get(row_id, set()) | {name for name, ids in withheld.items() if row_id in ids}
        if not sources:
            raise TunesmithError(
                f"forget: ROW_ID must be a row of a source in params/sources.yaml; {row_id!r} is none; copy the id "
                "from the column row_id of data/splits/SOURCE; for a row that is gone, `tunesmith explain --row` lists "
                "the models that saw it"
            )
        for source in sorted(sources):
            by_source.setdefault(source, []).append(row_id)
    return by_source


def withheld_rows(paths: Paths) -> dict[str, list[str]]:
    """Source → ``ingest.withheld``."""
    file = paths.params / "sources.yaml"
    return {name: load(IngestParams, file, "sources", name, "ingest").withheld for name in mapping(file, "sources")}
