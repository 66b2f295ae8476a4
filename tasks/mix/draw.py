"""Draw rows of several sources; keep out what an evaluation set holds."""

from __future__ import annotations

from tasks.errors import TunesmithError
from tasks.files import digest, read_rows, unit_interval
from tasks.paths import Paths
from tasks.rows import Row


def part_rows(paths: Paths, source: str, part: str, asked_by: str) -> list[Row]:
    """Rows of one part of a split source.

    Raises:
        TunesmithError: the source has no split; the known ones are named.
    """
    path = paths.split(source) / f"{part}.parquet"
    if not path.exists():
        known = ", ".join(split_sources(paths)) or "none"
        raise TunesmithError(f"{asked_by}: there is no split of a source {source!r}; split sources: {known}")
    return read_rows(path)


def draw(rows: list[Row], most: int | None, seed: int) -> list[Row]:
    """``most`` of the rows by the lowest hash, in an order of that hash; None takes all."""

    def position(row: Row) -> tuple[float, str]:
        # Equal rows of two sources have one hash; their order must not hang on that of the sources.
        return unit_interval(seed, "draw", row["row_id"], row["template_id"]), row["source"]

    return sorted(rows, key=position)[:most]


def split_sources(paths: Paths) -> list[str]:
    """Names of the sources that have a split; what is still being written is none."""
    return sorted(p.name for p in paths.splits.glob("*") if p.is_dir() and not p.name.startswith("."))


def normalised(text: str) -> str:
    """A text without what formatting changes: case and spaces."""
    return digest(" ".join(text.lower().split()))


def texts(rows: list[Row]) -> set[str]:
    """The normalised source texts of ``rows``."""
    return {normalised(row["text"]) for row in rows}


def without_evaluation_rows(rows: list[Row], held_out: set[str]) -> tuple[list[Row], int]:
    """``rows`` without those whose source text stands in ``held_out`` (of ``texts``), and how many those were."""
    kept = [row for row in rows if normalised(row["text"]) not in held_out]
    return kept, len(rows) - len(kept)
