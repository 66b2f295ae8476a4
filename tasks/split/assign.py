"""Who goes where: groups stay together, old rows never move, no prompt stands on two sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from tasks.errors import TunesmithError
from tasks.files import unit_interval
from tasks.rows import Row
from tasks.split.params import PARTS, SplitParams


def split(rows: list[Row], params: SplitParams, source: str) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """Parts of ``rows`` (columns: ``RENDERED``) and the counts of rows dropped, by reason.

    Raises:
        TunesmithError: a file has no part, or a part is too small.
    """
    dropped: Counter[str] = Counter()
    parts: dict[str, list[Row]] = {part: [] for part in PARTS}
    side = _by_file(rows, params, source, dropped) if params.by == "file" else _by_hash(params)
    for row in _without_duplicates(rows, dropped, _rank(params)):
        part = side(row)
        if part is not None:
            parts[part].append(row)
    for part, most in params.limit.items():
        parts[part] = _limited(parts[part], most, params.seed)
    _refuse_small(parts, params, source)
    return parts, dict(dropped)


def _without_duplicates(rows: list[Row], dropped: Counter[str], rank: Callable[[Row], int]) -> list[Row]:
    """One row of those with the same prompt and completion: the one with the lowest rank, of these the first."""
    kept: dict[tuple[str, str], int] = {}
    for i, row in enumerate(rows):
        before = kept.setdefault((row["prompt"], row["completion"]), i)
        if before != i:
            dropped["duplicate"] += 1
            if rank(row) < rank(rows[before]):
                kept[row["prompt"], row["completion"]] = i
    return [rows[i] for i in sorted(kept.values())]


def _rank(params: SplitParams) -> Callable[[Row], int]:
    """Of two equal rows in two files, the one of the later part is kept, so that a test set stays whole."""
    if params.by == "hash":
        return lambda row: 0
    part_of = {name: part for part, names in params.files.items() for name in names}
    return lambda row: -PARTS.index(part_of[row["source_file"]])


def _by_hash(params: SplitParams) -> Any:
    def side(row: Row) -> str:
        position = unit_interval(params.seed, "split", row["group"])
        if position < params.fractions.train:
            return "train"
        return "validation" if position < params.fractions.train + params.fractions.validation else "test"

    return side


def _by_file(rows: list[Row], params: SplitParams, source: str, dropped: Counter[str]) -> Any:
    part_of = {name: part for part, names in params.files.items() for name in names}
    found = {row["source_file"] for row in rows}
    if unknown := sorted(found - set(part_of)):
        raise TunesmithError(
            f"params/sources.yaml: sources.{source}.split.files: file {unknown[0]!r} is in no part; name it or remove "
            f"it from data/sources/{source} (files: {', '.join(sorted(found))})"
        )
    if missing := sorted(set(part_of) - found):
        raise TunesmithError(
            f"params/sources.yaml: sources.{source}.split.files: there is no file {missing[0]!r} in "
            f"data/sources/{source}; its files: {', '.join(sorted(found))}"
        )
    # The later part keeps a group that several files hold: a test set stays whole, training loses the row.
    home = {row["group"]: part for part in PARTS for row in rows if part_of[row["source_file"]] == part}
    carve = not params.files.get("validation")

    def side(row: Row) -> str | None:
        part = part_of[row["source_file"]]
        if home[row["group"]] != part:
            dropped[f"{part} row whose group is also in {home[row['group']]}"] += 1
            return None
        if part == "train" and carve and unit_interval(params.seed, "split", row["group"]) < params.validation_fraction:
            return "validation"
        return str(part)

    return side


def _limited(rows: list[Row], most: int, seed: int) -> list[Row]:
    """The ``most`` rows with the lowest hash, in their old order: more rows may enter, no kept set is reshuffled."""
    ranked = sorted(
        range(len(rows)), key=lambda i: unit_interval(seed, "limit", rows[i]["row_id"], rows[i]["template_id"])
    )
    return [rows[i] for i in sorted(ranked[:most])]


def _refuse_small(parts: dict[str, list[Row]], params: SplitParams, source: str) -> None:
    counts = ", ".join(f"{part} {len(rows)}" for part, rows in parts.items())
    for part, rows in parts.items():
        if len(rows) < params.min_rows:
            raise TunesmithError(
                f"params/sources.yaml: sources.{source}.split: each part needs at least {params.min_rows} row(s); "
                f"{part} has {len(rows)} ({counts}); add data or change the fractions, limits or `min_rows`"
            )
