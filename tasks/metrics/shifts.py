"""Compare the mean of a quantity in two independent samples, such as last month's inputs and today's."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tasks.metrics.groups import Grouped, grouped

ShiftVerdict = Literal["drift", "steady", "not enough rows"]

Harm = Literal["up", "down", "both"]
"""In which direction a change does harm."""


@dataclass(frozen=True)
class Shift:
    """Difference of two means: ``after`` minus ``before``.

    Attributes:
        low, high: ends of the interval of the difference.
        groups: independent groups of the smaller sample.
    """

    before: float
    after: float
    low: float
    high: float
    groups: int

    @property
    def value(self) -> float:
        """``after`` minus ``before``."""
        return self.after - self.before

    def verdict(self, margin: float, harm: Harm, min_groups: int) -> ShiftVerdict:
        """Classify the shift.

        - ``drift``: the whole interval lies beyond ``margin``, in a direction that does harm. With 95 % confidence, one
          test calls a change as large as the margin drift in 2.5 % of cases; bench/drift_looks.py repeats tests.
        - ``steady``: the whole interval lies within the margin, or in the direction that does no harm.
        - ``not enough rows``: the interval crosses the margin, or there are fewer than ``min_groups`` groups.
        """
        if self.groups < min_groups:
            return "not enough rows"
        rise = self.low > margin if harm != "down" else False
        fall = self.high < -margin if harm != "up" else False
        if rise or fall:
            return "drift"
        no_rise = harm == "down" or self.high < margin
        no_fall = harm == "up" or self.low > -margin
        return "steady" if no_rise and no_fall else "not enough rows"


def shift(
    before: ArrayLike,
    after: ArrayLike,
    confidence: float,
    groups_before: Sequence[Hashable] | None = None,
    groups_after: Sequence[Hashable] | None = None,
) -> Shift | None:
    """Compare the means of two independent samples (shapes: rows before, rows after); None if one has no row.

    The interval is Welch's (1947), with the standard errors of means over groups. Without groups each row is one. With
    fewer than two groups in a sample, nothing is known about its spread, and the interval is infinite.

    Raises:
        ValueError: a value is not finite.
    """
    samples = [np.asarray(values, dtype=np.float64).ravel() for values in (before, after)]
    if not all(np.isfinite(values).all() for values in samples):
        raise ValueError("a shift needs finite values; leave out the rows without one first")
    if not all(values.size for values in samples):
        return None
    first, second = (grouped(v, g) for v, g in zip(samples, (groups_before, groups_after), strict=True))
    half = _half_width(first, second, confidence)
    means = float(first.means()[0]), float(second.means()[0])
    value = means[1] - means[0]
    return Shift(*means, value - half, value + half, min(first.count, second.count))


def _half_width(first: Grouped, second: Grouped, confidence: float) -> float:
    """Half of the interval's width."""
    if min(first.count, second.count) < 2:
        return math.inf
    squares = [float(sample.standard_errors()[0]) ** 2 for sample in (first, second)]
    variance = sum(squares)
    if variance == 0:
        return 0.0
    counts = (first.count, second.count)
    freedom = variance**2 / sum(square**2 / (count - 1) for square, count in zip(squares, counts, strict=True))
    return math.sqrt(variance) * float(stats.t.ppf((1 + confidence) / 2, freedom))
