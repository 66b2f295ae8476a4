"""The work of ``tunesmith contamination``: the report of ``mix``, or the same check against any file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.files import read_json
from tasks.core.paths import Paths
from tasks.ingest.formats import FORMATS, ending_of
from tasks.ingest.opening import to_utf8
from tasks.ingest.readers import read
from tasks.mix.contamination import COMPARED, Contamination, summary
from tasks.mix.overlap import MEASURES
from tasks.mix.params import load_contamination
from tasks.resolve.check import mapping
from tasks.text.rows import RENDERED, Row, rendered_columns

TEXT = {".txt", ".text", ".md"}
"""Endings of files that are read as one text per paragraph."""

Counts = dict[str, list[str]]


def examine(paths: Paths, mixture: str | None, against: Path | None) -> Iterator[tuple[str, Counts]]:
    """Per mixture: its title, and the cells of one line per set of test rows.

    Raises:
        TunesmithError: no such mixture, it is not built, or the file cannot be read.
    """
    for name in mixtures_of(paths, mixture):
        path = paths.mixture(name) / "contamination.json"
        if not path.exists():
            raise TunesmithError(f"{path}: no such file; run `tunesmith run` (or `dvc repro mix@{name}`) to build it")
        report = read_json(path) if against is None else compare_file(paths, name, against)
        yield f"mixture {name}", {source: _cells(counts) for source, counts in report["sets"].items()}


def mixtures_of(paths: Paths, mixture: str | None) -> list[str]:
    """``mixture``, or all of ``params/mixtures.yaml``."""
    known = list(mapping(paths.params / "mixtures.yaml", "mixtures"))
    if mixture is not None and mixture not in known:
        raise TunesmithError(
            f"contamination: no mixture {mixture!r} in params/mixtures.yaml; there are: {', '.join(known)}"
        )
    return [mixture] if mixture else known


def _cells(report: dict[str, Any]) -> list[str]:
    counts = report["counts"]

    def both(measure: str) -> str:
        if f"{measure}_input" not in counts:  # a report of an earlier version has no `contained_input`
            return "–"
        return f"{counts[f'{measure}_input']} + {counts[f'{measure}_reference']}"

    dirty = f"{counts['dirty']} ({report['shares']['dirty']:.1%})"
    measures = (both(name) for name in (*MEASURES, "ngram13", "ngram8"))
    return [str(report["rows"]), dirty, *measures, str(counts["left_out"])]


def compare_file(paths: Paths, mixture: str, file: Path) -> dict[str, Any]:
    """The summary of every text of ``file`` against the rows that ``mixture`` trains on.

    A text is compared with inputs and with references; it counts as an input, since Tunesmith does not know what a
    column of the file means.
    """
    params = load_contamination(paths.params / "mixtures.yaml")
    check = Contamination(texts_of_file(file), "all", params)
    trained = rendered_columns(pq.read_table(paths.mixture(mixture) / "train.parquet"), COMPARED)
    numbers = check.register(trained)
    check.count(trained)
    check.match(trained, numbers, trained=True)
    check.add(trained, numbers)
    return summary(check.result(), params)


def texts_of_file(file: Path) -> pa.Table:
    """Every text of ``file`` as an evaluation row (columns: ``COMPARED``): ``row_id`` is its line, ``template_id`` its
    column. A text file gives its paragraphs; lists and mappings give each text in them (``COLUMN.KEY``).

    Raises:
        TunesmithError: the file cannot be read, or holds no text.
    """
    rows: list[Row] = [
        {
            "source": file.name,
            "row_id": str(line),
            "template_id": column,
            "identity": text,
            "references": [],
            "messages": None,
        }
        for line, column, text in _texts(file)
    ]
    if not rows:
        raise TunesmithError(f"{file}: a file to compare with must hold text; it holds none; name another")
    return pa.Table.from_pylist(rows, schema=pa.schema([RENDERED.field(name) for name in COMPARED]))


def _texts(file: Path) -> Iterator[tuple[int, str, str]]:
    if file.suffix.lower() in TEXT:
        yield from _paragraphs(file)
        return
    if ending_of(file) not in FORMATS:
        raise TunesmithError(
            f"{file}: the ending must be one of {', '.join([*FORMATS, *sorted(TEXT)])}; it is "
            f"{file.suffix or 'missing'!r}; save it as one of these"
        )
    for line, row in read(file):
        for column, value in row.items():
            yield from ((line, location, text) for location, text in _nested(column, value))


def _nested(location: str, value: Any) -> Iterator[tuple[str, str]]:
    """The texts of a value, each with its location."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _nested(f"{location}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nested(location, inner)
    elif isinstance(value, str) and value.strip():
        yield location, value


def _paragraphs(file: Path) -> Iterator[tuple[int, str, str]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise TunesmithError(f"{file}: no such file; name one that exists") from None
    except UnicodeDecodeError as error:
        raise TunesmithError(f"{file}: not UTF-8 at byte {error.start}; {to_utf8(file)}") from None
    start = 0
    for i in range(len(lines) + 1):
        if i == len(lines) or not lines[i].strip():
            if text := "\n".join(lines[start:i]).strip():
                yield start + 1, "text", text
            start = i + 1
