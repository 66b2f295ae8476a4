"""Paired differences of two systems: their interval, their p-value, and what so many rows can show."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tasks.metrics.groups import Grouped, grouped
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import ROUNDING, direction, mean_intervals, percentiles, resampled_statistics

POWER = 0.8
"""Probability with which a difference is shown that a report calls detectable (Cohen 1988)."""


@dataclass(frozen=True)
class Difference:
    """Mean difference of two systems over the same rows.

    Attributes:
        value: mean of ours minus theirs.
        low, high: ends of its interval.
        rows: rows that both systems have.
        groups: independent groups of these rows.
        error: standard error of ``value``, over groups; 0 for one group.
        p: of the two-sided t-test of ``value == 0`` over groups; 1 for one group.
        heaviest: weight of the heaviest group in the mean, over that of an average group; 1 for equal weights.
    """

    value: float
    low: float
    high: float
    rows: int
    groups: int
    error: float
    p: float
    heaviest: float = 1.0

    @property
    def direction(self) -> int:
        """1 if the whole interval lies above zero, -1 if it lies below, else 0; one group shows nothing."""
        return direction(self.low, self.high) if self.groups > 1 else 0

    def detectable(self, confidence: float, power: float = POWER) -> float | None:
        """The smallest true difference that so many groups show with probability ``power``; None for one group."""
        if self.groups < 2:
            return None
        freedom = self.groups - 1
        return float(self.error * (stats.t.ppf((1 + confidence) / 2, freedom) + stats.t.ppf(power, freedom)))

    def negated(self) -> Difference:
        """Theirs minus ours: for a score of which less is better."""
        return replace(self, value=-self.value, low=-self.high, high=-self.low)


def gain(ours: float, theirs: float) -> float:
    """``ours - theirs``; 0 where the two differ by no more than rounding."""
    difference = ours - theirs
    return 0.0 if abs(difference) <= ROUNDING * max(1.0, abs(ours), abs(theirs)) else difference


def paired_difference(
    differences: ArrayLike, params: IntervalParams, groups: Sequence[Hashable] | None = None
) -> Difference:
    """Mean of ``differences`` between two systems (shape: rows), with its interval.

    Resampling the differences is the paired bootstrap (Koehn 2004, "Statistical significance tests for machine
    translation evaluation"). Each row keeps both systems' scores, so that a row that is hard for both cancels out.
    Percentiles of few groups are too close together: 5 groups exclude a true zero in one of ten cases. Therefore each
    end of the interval is the outer one of the bootstrap's and of Student's t.

    Args:
        groups: the group of each row; without it each row is one.

    Raises:
        ValueError: there is no row, or a difference is not finite.
    """
    values = np.asarray(differences, dtype=np.float64).ravel()
    if values.size == 0:
        raise ValueError("a difference needs at least one row; there is none")
    if not np.isfinite(values).all():
        raise ValueError("a difference needs finite values; leave out the rows without a score first")
    return _of_columns(values[:, None], params, groups)[0]


def paired_differences(
    differences: np.ndarray, params: IntervalParams, groups: Sequence[Hashable] | None = None
) -> list[Difference | None]:
    """``paired_difference`` of each column of ``differences`` (shape: rows, columns), over the rows that have a value.

    NaN is a missing value; a column without any value gives None. Columns with values in the same rows share one set of
    draws, which is much cheaper than a call per column.
    """
    known = np.isfinite(differences)
    results: list[Difference | None] = [None] * differences.shape[1]
    for rows in np.unique(known, axis=1).T if known.any() else ():
        columns = np.flatnonzero((known == rows[:, None]).all(axis=0))
        kept = None if groups is None else [group for group, used in zip(groups, rows, strict=True) if used]
        if rows.any():
            judged = _of_columns(differences[np.ix_(rows, columns)], params, kept)
            for column, difference in zip(columns, judged, strict=True):
                results[column] = difference
    return results


def _of_columns(values: np.ndarray, params: IntervalParams, groups: Sequence[Hashable] | None) -> list[Difference]:
    """``paired_difference`` of columns that all have a value in every row."""
    by_group = grouped(values, groups)
    intervals = mean_intervals(values, params, groups)
    rows, count = len(values), by_group.count
    if count < 2:
        return [Difference(*one, rows, count, 0.0, 1.0) for one in intervals if one is not None]
    heaviest = by_group.heaviest
    tested = (part.tolist() for part in t_test(by_group, params.confidence))
    return [
        Difference(value, min(low, value - reach), max(high, value + reach), rows, count, error, p, heaviest)
        for (value, low, high), error, reach, p in zip(filter(None, intervals), *tested, strict=True)
    ]


def statistic_difference(
    rows: np.ndarray,
    statistic: Callable[[np.ndarray], float],
    params: IntervalParams,
    groups: Sequence[Hashable] | None = None,
) -> Difference:
    """``paired_difference`` of a statistic that is no mean, such as the F1 of all rows.

    Args:
        rows: numbers of both systems (shape: rows, …), of which ``statistic`` computes the difference.
    """
    value, by_group = float(statistic(rows)), grouped(np.ones(len(rows)), groups)
    if by_group.count < 2:
        return Difference(value, value, value, len(rows), by_group.count, 0.0, 1.0)
    resampled = resampled_statistics(rows, statistic, params, groups)
    difference = drawn_difference(value, resampled, len(rows), by_group.count, params.confidence)
    return replace(difference, heaviest=by_group.heaviest)


def drawn_difference(value: float, resampled: np.ndarray, rows: int, groups: int, confidence: float) -> Difference:
    """The difference ``value`` with the interval of its finite ``resampled`` values; ``groups`` is at least 2."""
    low, high = percentiles(resampled, confidence)
    error, freedom = float(np.std(resampled[np.isfinite(resampled)])), groups - 1
    if error <= ROUNDING:
        return Difference(value, low, high, rows, groups, 0.0, 1.0 if abs(value) <= ROUNDING else 0.0)
    reach, p = error * stats.t.ppf((1 + confidence) / 2, freedom), 2 * stats.t.sf(abs(value) / error, freedom)
    ends = min(low, float(value - reach)), max(high, float(value + reach))
    return Difference(value, *ends, rows, groups, error, float(p))


def t_test(by_group: Grouped, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard error, half width of the t interval, and two-sided p-value of each column's mean (shape: columns).

    Without any spread the p-value is 1 for a mean of zero, and 0 for another.
    """
    errors, means, freedom = by_group.standard_errors(), by_group.means(), by_group.count - 1
    errors = np.where(errors <= ROUNDING, 0.0, errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(means) / errors, freedom)
    p = np.where(errors == 0, np.where(np.abs(means) <= ROUNDING, 1.0, 0.0), p)
    return errors, errors * stats.t.ppf((1 + confidence) / 2, freedom), p


def groups_needed(deviation: float, difference: float, confidence: float, power: float = POWER) -> int:
    """Groups with which a true ``difference`` is shown with probability ``power``.

    Args:
        deviation: standard deviation of the difference over groups.

    Returns:
        Guenther's approximation for the paired t-test (1981, "Sample size formulas for normal theory t tests").
    """
    tail = stats.norm.ppf((1 + confidence) / 2)
    exact = ((tail + stats.norm.ppf(power)) * deviation / difference) ** 2 + tail**2 / 2
    return math.ceil(exact)


def as_entry(difference: Difference) -> dict[str, Any]:
    """The entry of a report: ``value``, ``low``, ``high``, ``rows``, ``groups``, ``error`` and ``p``."""
    return {name: getattr(difference, name) for name in ("value", "low", "high", "rows", "groups", "error", "p")}
