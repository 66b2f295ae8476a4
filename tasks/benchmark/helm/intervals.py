"""Cells of the table: a value with its bootstrap interval over groups of rows, or the reason why it has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from tasks.metrics.groups import drawn_counts, group_index
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval, percentiles

Cell = dict[str, Any]
"""``value``, ``low``, ``high``, ``n`` (rows), ``groups`` (independent groups of rows, which the interval draws); or
``na``: the reason.

Calibration errors also have ``floor`` and ``floor_95``, the error of a perfectly calibrated model (``calibration.py``);
results of earlier versions lack them and ``groups``.
"""


def mean_cell(values: Sequence[float], params: IntervalParams, groups: Sequence[Hashable]) -> Cell:
    """The mean of ``values``, one per row; ``na`` without rows. ``groups``: the independent group of each row."""
    if not len(values):
        return na("no row to measure")
    value, low, high = mean_interval(np.array(values, dtype=float), params, groups)
    return {"value": value, "low": low, "high": high, "n": len(values), "groups": len(set(groups))}


def statistic_cell(
    groups: Sequence[Hashable],
    statistic: Callable[[np.ndarray], float | None],
    params: IntervalParams,
    reason: str,
    largest: float | None = None,
) -> Cell:
    """A statistic of row indices (with repetitions), with a bootstrap interval over the groups of rows.

    The interval holds percentiles of the resamples. With ``largest``, the statistic is a distance between 0 and
    ``largest``, such as a calibration error. Chance alone makes the distance of every resample larger, so percentiles
    may lie above the value. The interval is then the value ± the normal quantile times the standard deviation of the
    resamples, cut at 0 and ``largest``.

    ``statistic`` may return None for rows that do not define it. Such resamples are left out of the interval, and
    ``undefined`` is their share. If it is None for all rows, the cell is ``na`` with ``reason``.
    """
    numbers = np.arange(len(groups))
    value = statistic(numbers) if groups else None
    if value is None or not math.isfinite(value):
        return na(reason)
    index = group_index(groups)
    resamples = (counts for batch in drawn_counts(len(set(groups)), params.resamples, params.seed) for counts in batch)
    drawn = [statistic(np.repeat(numbers, counts[index].astype(np.int64))) for counts in resamples]
    known = [one for one in drawn if one is not None] or [value]
    low, high = percentiles(np.array(known), params.confidence)
    if largest is not None:
        reach = float(norm.ppf((1 + params.confidence) / 2) * np.std(known))
        low, high = max(0.0, value - reach), min(largest, value + reach)
    cell = {"value": float(value), "low": low, "high": high, "n": len(groups), "groups": len(set(groups))}
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
