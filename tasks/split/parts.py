"""Read rows of split sources as Arrow tables, and draw some of them by the lowest hash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.files import unit_interval
from tasks.core.params import read_yaml, value_at
from tasks.core.paths import Paths
from tasks.text.rows import CONVERSATION, RENDERED, rendered_columns


def part_table(paths: Paths, source: str, part: str, where: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the rows of one part of a split source.

    Args:
        where: file and key that name the source, for error messages.
        columns: names of the columns to read; None reads all (``RENDERED``).

    Raises:
        TunesmithError: the source has no split.
    """
    path = paths.split(source) / f"{part}.parquet"
    if not path.exists():
        known = ", ".join(split_sources(paths)) or "none"
        raise TunesmithError(
            f"{where}: a source must have a split; {source!r} has none (sources with a split: {known}); "
            "correct the name, or add the source to params/sources.yaml and run `tunesmith run`"
        )
    return _read(path, columns)


def retired_table(paths: Paths, source: str, columns: Sequence[str] | None = None) -> pa.Table | None:
    """Read the rows of earlier test sets of a split source; None if it has none. ``columns`` as in ``part_table``."""
    path = paths.split(source) / "retired.parquet"
    return _read(path, columns) if path.exists() else None


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    """The rows of a file, which an earlier version may have written without ``messages`` and ``tools``."""
    names = list(columns or RENDERED.names)
    lacking = set(CONVERSATION) - set(pq.read_schema(path).names)
    return rendered_columns(pq.read_table(path, columns=[name for name in names if name not in lacking]), names)


def split_sources(paths: Paths) -> list[str]:
    """Names of the sources of ``params/sources.yaml`` that have a split."""
    sources = value_at(read_yaml(paths.params / "sources.yaml"), "sources") or {}
    return sorted(set(sources) & _folders(paths))


def orphaned_splits(paths: Paths) -> list[str]:
    """Names of splits whose source is no longer in ``params/sources.yaml``; DVC does not remove their folders."""
    return sorted(_folders(paths) - set(split_sources(paths)))


def _folders(paths: Paths) -> set[str]:
    """Names of all splits; a folder that is still being written does not count."""
    return {p.name for p in paths.splits.glob("*") if p.is_dir() and not p.name.startswith(".")}


def order(table: pa.Table, seed: int) -> np.ndarray:
    """Row numbers of ``table`` in the order of a hash of seed, ``row_id`` and ``template_id``.

    New rows do not change the order of the others, so the first rows of a larger table are mostly the same.
    """
    ids, templates, sources = (table.column(name).to_pylist() for name in ("row_id", "template_id", "source"))
    # Equal rows of two sources share a hash; the source's name decides their order.
    positions = [
        (unit_interval(seed, "draw", row, template), source)
        for row, template, source in zip(ids, templates, sources, strict=True)
    ]
    return np.array(sorted(range(len(positions)), key=positions.__getitem__), dtype=np.int64)


def draw(table: pa.Table, most: int | None, seed: int) -> pa.Table:
    """Return the ``most`` rows with the lowest hashes, in the order of the hashes; None returns all rows."""
    return table.take(order(table, seed)[:most])
