"""Cells of the table: a value with its bootstrap interval over rows, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval

Cell = dict[str, Any]
"""``value``, ``low``, ``high``, ``n`` (rows); or ``na``: the reason."""


def mean_cell(values: Sequence[float], params: IntervalParams) -> Cell:
    """The mean of ``values``, one a row; ``na`` where there is no row."""
    if not len(values):
        return na("no row to measure")
    value, low, high = mean_interval(np.array(values, dtype=float), params.resamples, params.confidence, params.seed)
    return {"value": value, "low": low, "high": high, "n": len(values)}


def statistic_cell(
    rows: int,
    statistic: Callable[[np.ndarray], float | None],
    params: IntervalParams,
    reason: str,
    largest: float | None = None,
) -> Cell:
    """What ``statistic`` makes of row numbers (with repetitions), with a bootstrap interval over rows.

    Percentiles; but of a distance, between 0 and ``largest`` (a calibration error), the value plus and minus as many
    standard deviations of the draws as a normal distribution asks for, cut at these: chance alone makes the distance of
    every draw larger, so that percentiles may lie above the value itself.

    ``statistic`` may be None for rows that tell nothing. Draws for which it is are left out of the interval;
    ``undefined`` is their share where there are any. ``na`` with ``reason`` where it is None for all rows.
    """
    value = statistic(np.arange(rows)) if rows else None
    if value is None or not math.isfinite(value):
        return na(reason)
    random = np.random.default_rng(params.seed)
    drawn = [statistic(draw) for draw in random.integers(rows, size=(params.resamples, rows))]
    known = [one for one in drawn if one is not None] or [value]
    tail = (1 - params.confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    if largest is not None:
        reach = float(norm.ppf(1 - tail) * np.std(known))
        low, high = max(0.0, value - reach), min(largest, value + reach)
    cell = {"value": float(value), "low": float(low), "high": float(high), "n": rows}
    return cell | ({"undefined": 1 - len(known) / len(drawn)} if None in drawn else {})


def na(reason: str) -> Cell:
    return {"na": reason}


def is_wide(cell: Cell, wide: float) -> bool:
    return "na" not in cell and cell["high"] - cell["low"] > wide
