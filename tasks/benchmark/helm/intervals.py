"""Cells of the table: a value with its bootstrap interval over rows, or the reason why it has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval, percentiles

Cell = dict[str, Any]
"""``value``, ``low``, ``high``, ``n`` (rows); or ``na``: the reason.

Calibration errors also have ``floor`` and ``floor_95``, the error of a perfectly calibrated model (``calibration.py``);
results of earlier versions lack them.
"""


def mean_cell(values: Sequence[float], params: IntervalParams) -> Cell:
    """The mean of ``values``, one per row; ``na`` without rows."""
    if not len(values):
        return na("no row to measure")
    value, low, high = mean_interval(np.array(values, dtype=float), params)
    return {"value": value, "low": low, "high": high, "n": len(values)}


def statistic_cell(
    rows: int,
    statistic: Callable[[np.ndarray], float | None],
    params: IntervalParams,
    reason: str,
    largest: float | None = None,
) -> Cell:
    """A statistic of row indices (with repetitions), with a bootstrap interval over rows.

    The interval holds percentiles of the resamples. With ``largest``, the statistic is a distance between 0 and
    ``largest``, such as a calibration error. Chance alone makes the distance of every resample larger, so percentiles
    may lie above the value. The interval is then the value ± the normal quantile times the standard deviation of the
    resamples, cut at 0 and ``largest``.

    ``statistic`` may return None for rows that do not define it. Such resamples are left out of the interval, and
    ``undefined`` is their share. If it is None for all rows, the cell is ``na`` with ``reason``.
    """
    value = statistic(np.arange(rows)) if rows else None
    if value is None or not math.isfinite(value):
        return na(reason)
    random = np.random.default_rng(params.seed)
    drawn = [statistic(draw) for draw in random.integers(rows, size=(params.resamples, rows))]
    known = [one for one in drawn if one is not None] or [value]
    low, high = percentiles(np.array(known), params.confidence)
    if largest is not None:
        reach = float(norm.ppf((1 + params.confidence) / 2) * np.std(known))
        low, high = max(0.0, value - reach), min(largest, value + reach)
    cell = {"value": float(value), "low": low, "high": high, "n": rows}
    return cell | ({"undefined": 1 - len(known) / len(drawn)} if None in drawn else {})


def na(reason: str) -> Cell:
    return {"na": reason}


def mark(cell: Cell, metric: str, wide: float) -> str:
    """``†`` for a calibration error that a calibrated model rarely has, ``*`` for a wide interval; else nothing.

    A calibration error that a perfectly calibrated model has too gets no mark. Seconds have another scale and get none.
    """
    if "na" in cell or metric == "efficiency":
        return ""
    above = cell.get("floor_95") is not None and cell["value"] > cell["floor_95"]
    if cell.get("floor_95") is not None and not above:
        return ""
    return ("†" if above else "") + ("*" if cell["high"] - cell["low"] > wide else "")
