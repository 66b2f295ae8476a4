"""The raw rows of a source, as ``template@S`` reads them; they can be read before any stage has run."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.params import load, read_yaml
from tasks.core.paths import Paths
from tasks.ingest.params import IngestParams
from tasks.ingest.run import data_files, rows_of, survey_of
from tasks.template.params import TemplateParams
from tasks.text.raw_rows import read_raw
from tasks.text.rows import Row


def template_params(paths: Paths, source: str) -> TemplateParams:
    """Read ``sources.S.template``.

    Raises:
        TunesmithError: the source is unknown, or its parameters are wrong.
    """
    return load(TemplateParams, paths.params / "sources.yaml", "sources", source, "template")


def known_sources(paths: Paths) -> list[str]:
    """Names of the sources in ``params/sources.yaml``."""
    return list(read_yaml(paths.params / "sources.yaml").get("sources") or {})


def raw_rows(paths: Paths, source: str) -> Iterator[Row]:
    """Yield the rows of ``data/raw/S.parquet`` or, if it is not built yet, of the files in ``data/sources/S``.

    Each row has the columns of all rows; one that it lacks is null.

    Raises:
        TunesmithError: neither exists.
    """
    if paths.raw(source).exists():
        yield from read_raw(paths.raw(source), every_column=True)
        return
    if not paths.source(source).is_dir():
        raise TunesmithError(f"data/sources/{source}: no such folder; `dvc repro ingest@{source}` makes or reads it")
    params = load(IngestParams, paths.params / "sources.yaml", "sources", source, "ingest")
    files = data_files(paths.source(source))
    columns = dict.fromkeys(survey_of(files, params).columns())
    for path in files:
        yield from (columns | row for row in rows_of(path, params))


def count_rows(paths: Paths, source: str) -> int:
    """The number of rows that ``raw_rows`` yields."""
    if paths.raw(source).exists():
        return int(pq.read_metadata(paths.raw(source)).num_rows)
    return sum(1 for _ in raw_rows(paths, source))


def raw_row(paths: Paths, source: str, number: int) -> Row:
    """Row ``number``, from 1.

    Raises:
        TunesmithError: the source has fewer rows.
    """
    count = 0
    for count, row in enumerate(raw_rows(paths, source), start=1):
        if count == number:
            return row
    raise TunesmithError(f"templates render: --row must be from 1 to {count}, the rows of {source!r}; it is {number}")
