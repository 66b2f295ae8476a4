"""Statistics that evaluation, comparison, benchmarks and the gate share: intervals, averages over rows, verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap

from tasks.text.rows import RowKey

T = TypeVar("T")
Verdict = Literal["lost", "gained", "kept"]

ROUNDING = 1e-12
"""Largest difference that counts as floating-point rounding."""

_BATCH = 2_000_000
"""Resampled values held in memory at once (16 MB)."""


def mean_interval(values: ArrayLike, resamples: int, confidence: float, seed: int) -> tuple[float, float, float]:
    """Mean of ``values`` (shape: rows) with its percentile bootstrap interval: (mean, low, high).

    Percentile intervals (Efron & Tibshirani 1993, chapter 13), not BCa: BCa divides by the spread of the jackknife,
    which is NaN or extreme for scores that hardly vary. If all values are equal, ``low == high == mean``.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size == 0:
        raise ValueError("an interval needs at least one value; there is none")
    if not np.isfinite(array).all():
        raise ValueError("an interval needs finite values; leave out the rows without a score first")
    if np.ptp(array) == 0:
        return (float(array[0]),) * 3
    result = bootstrap(
        (array,),
        np.mean,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        batch=max(1, _BATCH // array.size),
        rng=np.random.default_rng(seed),
    )
    interval = result.confidence_interval
    return float(array.mean()), float(interval.low), float(interval.high)


def paired_bootstrap(
    differences: np.ndarray, resamples: int, confidence: float, seed: int
) -> tuple[float, float, float]:
    """Mean of ``differences`` between two systems (shape: rows) with its interval: (mean, low, high).

    Resampling the differences is the paired bootstrap (Koehn 2004, "Statistical significance tests for machine
    translation evaluation"). Each row keeps both systems' scores, so that a row that is hard for both cancels out.

    Raises:
        ValueError: as ``mean_interval``.
    """
    return mean_interval(differences, resamples, confidence, seed)


def direction(low: float, high: float) -> int:
    """1 if the whole interval lies above zero, -1 if it lies below zero, 0 if it contains zero."""
    return int(low > ROUNDING) - int(high < -ROUNDING)


def verdict(low: float, high: float) -> Verdict:
    """``gained`` if the whole interval lies above zero, ``lost`` if it lies below zero, else ``kept``."""
    verdicts: dict[int, Verdict] = {1: "gained", -1: "lost", 0: "kept"}
    return verdicts[direction(low, high)]


def variants_by_row(values: Iterable[tuple[RowKey, T]]) -> list[list[T]]:
    """Group values by source and row, over the row's prompt variants. Rows keep the order in which they first come."""
    grouped: dict[tuple[str, str], list[T]] = {}
    for (source, row_id, _), value in values:
        grouped.setdefault((source, row_id), []).append(value)
    return list(grouped.values())


def row_averages(scores: Iterable[tuple[RowKey, float]]) -> np.ndarray:
    """Average the scores of each row over its prompt variants (shape: rows), in the order of ``variants_by_row``.

    Prompt variants of one row are not independent samples. An interval over all of them would be too narrow.
    """
    return np.array([np.mean(variants) for variants in variants_by_row(scores)], dtype=np.float64)


def statistic_interval(
    rows: np.ndarray, statistic: Callable[[np.ndarray], float], resamples: int, confidence: float, seed: int
) -> tuple[float, float, float]:
    """``statistic`` of ``rows`` (shape: rows, …) with its percentile bootstrap interval over rows: (value, low, high).

    For statistics that are no mean, such as corpus BLEU or a correlation. One row gives ``low == high == value``.

    Raises:
        ValueError: there is no row, or the statistic is not finite.
    """
    if len(rows) == 0:
        raise ValueError("an interval needs at least one row; there is none")
    value = float(statistic(rows))
    if not np.isfinite(value):
        raise ValueError(f"an interval needs a finite statistic; it is {value}")
    if len(rows) == 1:
        return (value,) * 3
    result = bootstrap(
        (np.arange(len(rows)),),
        lambda drawn: statistic(rows[drawn]),
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        vectorized=False,
        batch=max(1, _BATCH // len(rows)),
        rng=np.random.default_rng(seed),
    )
    return value, float(result.confidence_interval.low), float(result.confidence_interval.high)
