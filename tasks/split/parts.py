"""Rows of split sources as Arrow tables, and the draw of some of them by the lowest hash."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.files import unit_interval
from tasks.core.params import read_yaml, value_at
from tasks.core.paths import Paths


def part_table(paths: Paths, source: str, part: str, asked_by: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of one part of a split source (columns: ``RENDERED``, or those asked for).

    Raises:
        TunesmithError: the source has no split; the known ones are named.
    """
    path = paths.split(source) / f"{part}.parquet"
    if not path.exists():
        known = ", ".join(split_sources(paths)) or "none"
        raise TunesmithError(f"{asked_by}: there is no split of a source {source!r}; split sources: {known}")
    return pq.read_table(path, columns=list(columns) if columns else None)


def split_sources(paths: Paths) -> list[str]:
    """Names of the sources of ``params/sources.yaml`` that have a split."""
    sources = value_at(read_yaml(paths.params / "sources.yaml"), "sources") or {}
    return sorted(set(sources) & _folders(paths))


def orphaned_splits(paths: Paths) -> list[str]:
    """Names of splits whose source is gone from ``params/sources.yaml``: DVC leaves their folders."""
    return sorted(_folders(paths) - set(split_sources(paths)))


def _folders(paths: Paths) -> set[str]:
    """Names of all splits; what is still being written is none."""
    return {p.name for p in paths.splits.glob("*") if p.is_dir() and not p.name.startswith(".")}


def order(table: pa.Table, seed: int) -> np.ndarray:
    """Row numbers of ``table`` in the order of a hash of seed, ``row_id`` and ``template_id``.

    More rows change nothing in the order of the others, so the first ones of a larger table are mostly the same.
    """
    ids, templates, sources = (table.column(name).to_pylist() for name in ("row_id", "template_id", "source"))
    # Equal rows of two sources have one hash; their order must not hang on that of the sources.
    places = [
        (unit_interval(seed, "draw", row, template), source)
        for row, template, source in zip(ids, templates, sources, strict=True)
    ]
    return np.array(sorted(range(len(places)), key=places.__getitem__), dtype=np.int64)


def draw(table: pa.Table, most: int | None, seed: int) -> pa.Table:
    """``most`` of the rows by the lowest hash, in the order of that hash; None takes all."""
    return table.take(order(table, seed)[:most])
