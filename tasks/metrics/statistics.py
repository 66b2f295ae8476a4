"""Intervals that evaluation, comparison, benchmarks and the gate share, and averages over prompt variants."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from tasks.metrics.groups import drawn_counts, group_index, grouped
from tasks.metrics.params import IntervalParams
from tasks.text.rows import Row, RowKey, group_key, row_key

T = TypeVar("T")

ROUNDING = 1e-12
"""Largest difference that counts as floating-point rounding."""


class Interval(NamedTuple):
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


def mean_interval(values: ArrayLike, params: IntervalParams, groups: Sequence[Hashable] | None = None) -> Interval:
    """Mean of ``values`` (shape: rows) with its percentile bootstrap interval.

    Groups are drawn with all of their rows; without ``groups`` each row is one. Percentile intervals (Efron &
    Tibshirani 1993, chapter 13), not BCa: BCa divides by the spread of the jackknife, which is NaN or extreme for
    scores that hardly vary. If all values are equal, ``low == high == value``.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size == 0:
        raise ValueError("an interval needs at least one value; there is none")
    if not np.isfinite(array).all():
        raise ValueError("an interval needs finite values; leave out the rows without a score first")
    (interval,) = mean_intervals(array[:, None], params, groups)
    assert interval is not None
    return interval


def mean_intervals(
    values: np.ndarray, params: IntervalParams, groups: Sequence[Hashable] | None = None
) -> list[Interval | None]:
    """``mean_interval`` of each column of ``values`` (shape: rows, columns), over the rows that have a value.

    NaN is a missing value; a column without any value gives None. All columns share one set of draws, which is much
    cheaper than a call per column.
    """
    by_group = grouped(values, groups)
    columns = np.asarray(values, dtype=np.float64)
    resampled = by_group.resampled_means(params.resamples, params.seed) if len(columns) else columns
    return [_of_column(column, drawn, params.confidence) for column, drawn in zip(columns.T, resampled.T, strict=True)]


def _of_column(column: np.ndarray, resampled: np.ndarray, confidence: float) -> Interval | None:
    known = column[np.isfinite(column)]
    if not known.size:
        return None
    if np.ptp(known) == 0:
        return Interval(*(float(known[0]),) * 3)
    return Interval(float(known.mean()), *percentiles(resampled, confidence))


def direction(low: float, high: float) -> int:
    """1 if the whole interval lies above zero, -1 if it lies below zero, 0 if it contains zero."""
    return int(low > ROUNDING) - int(high < -ROUNDING)


def percentiles(resampled: np.ndarray, confidence: float) -> tuple[float, float]:
    """The ends of the percentile interval of the resampled values that are finite."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled[np.isfinite(resampled)], [tail, 1 - tail])
    return float(low), float(high)


def statistic_interval(
    rows: np.ndarray,
    statistic: Callable[[np.ndarray], float],
    params: IntervalParams,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """``statistic`` of ``rows`` (shape: rows, …) with its percentile bootstrap interval; groups are drawn.

    For statistics that are no mean, such as corpus BLEU or a correlation. One row gives ``low == high == value``.
    Resamples whose statistic is not finite are left out.

    Raises:
        ValueError: there is no row, or the statistic is not finite.
    """
    if len(rows) == 0:
        raise ValueError("an interval needs at least one row; there is none")
    value = float(statistic(rows))
    if not np.isfinite(value):
        raise ValueError(f"an interval needs a finite statistic; it is {value}")
    if len(rows) == 1:
        return Interval(value, value, value)
    return Interval(value, *percentiles(resampled_statistics(rows, statistic, params, groups), params.confidence))


def resampled_statistics(
    rows: np.ndarray,
    statistic: Callable[[np.ndarray], float],
    params: IntervalParams,
    groups: Sequence[Hashable] | None = None,
) -> np.ndarray:
    """``statistic`` of each resample of the groups of ``rows`` (shape: resamples); not finite if it is not defined."""
    numbers = np.arange(len(rows))
    index = numbers if groups is None else group_index(groups)
    values = []
    for counts in drawn_counts(int(index.max()) + 1, params.resamples, params.seed):
        for drawn in counts.astype(np.int64):
            values.append(float(statistic(rows[np.repeat(numbers, drawn[index])])))
    return np.array(values)


def variants_by_row(values: Iterable[tuple[RowKey, T]]) -> list[list[T]]:
    """Group values by source and row, over the row's prompt variants. Rows keep the order in which they first come."""
    grouped_values: dict[tuple[str, str], list[T]] = {}
    for (source, row_id, _), value in values:
        grouped_values.setdefault((source, row_id), []).append(value)
    return list(grouped_values.values())


def averaged_columns(rows: Iterable[Row], columns: Sequence[str]) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Average score columns of each row over its prompt variants.

    Returns:
        The scores (shape: rows, columns; NaN where no variant has the score) and the group of each row
        (``tasks.text.rows.group_key``), in the order of ``variants_by_row``.
    """
    by_row = variants_by_row((row_key(row), row) for row in rows)
    scores = [[_known_mean([row[name] for row in variants]) for name in columns] for variants in by_row]
    groups = [group_key(variants[0]) for variants in by_row]
    return np.array(scores, dtype=np.float64).reshape(len(by_row), len(columns)), groups


def _known_mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")
