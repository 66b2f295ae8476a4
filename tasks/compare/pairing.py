"""Bring the predictions of two or more systems together by row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tasks.compare.collect import System
from tasks.metrics.differences import gain
from tasks.metrics.statistics import averaged_columns
from tasks.text.rows import ROW_KEY, Row, RowKey, group_key, row_key

Pair = tuple[Row, Row]
"""Our prediction and theirs for the same row and prompt."""


def pairs(ours: list[Row], theirs: list[Row]) -> list[Pair]:
    """The predictions that both have, in the order of ``theirs``."""
    known = {row_key(row): row for row in ours}
    return [(known[row_key(row)], row) for row in theirs if row_key(row) in known]


def group_of(pair: Pair) -> tuple[str, str]:
    """The group of a pair's row (``group_key``); a report of an earlier version may lack the column in one of them."""
    our, their = pair
    return group_key(our if their.get("group") is None else their)


def gains(ours: list[Row], theirs: list[Row], metric: str) -> dict[RowKey, float]:
    """Our score in ``metric`` minus theirs, for each row that both scored, in the order of ``theirs``."""
    scored = ((row_key(pair[1]), _gain(pair, metric)) for pair in pairs(ours, theirs))
    return {key: difference for key, difference in scored if difference is not None}


def row_gains(ours: list[Row], theirs: list[Row], metrics: Sequence[str]) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Our scores minus theirs per test row, averaged over the row's prompt variants.

    Returns:
        The differences (shape: rows, metrics; NaN where no variant has both scores) and the group of each row.
    """
    rows = [
        {name: pair[1][name] for name in ROW_KEY}
        | {"group": group_of(pair)[1]}
        | {metric: _gain(pair, metric) for metric in metrics}
        for pair in pairs(ours, theirs)
    ]
    return averaged_columns(rows, metrics)


def shared_scores(systems: Sequence[System], metric: str) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Scores of the rows that all ``systems`` scored, averaged over the row's prompt variants.

    Returns:
        The scores (shape: rows, systems) and the group of each row.
    """
    columns = [{row_key(row): row for row in system.rows if _finite(row.get(metric))} for system in systems]
    shared = [key for key in columns[0] if all(key in column for column in columns)]
    rows = [
        {name: columns[0][key][name] for name in ROW_KEY}
        | {"group": columns[0][key].get("group")}
        | {str(number): column[key][metric] for number, column in enumerate(columns)}
        for key in shared
    ]
    return averaged_columns(rows, [str(number) for number in range(len(systems))])


def _finite(score: float | None) -> bool:
    return score is not None and math.isfinite(score)


def _gain(pair: Pair, metric: str) -> float | None:
    our, their = (row.get(metric) for row in pair)
    if our is None or their is None or not (math.isfinite(our) and math.isfinite(their)):
        return None
    return gain(float(our), float(their))
