"""Shifts between two independent samples: hand-worked values, and how rarely equal samples drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tasks.metrics.shifts import Shift, shift


def test_the_interval_is_welchs() -> None:
    random = np.random.default_rng(0)
    before, after = random.normal(0, 1, 40), random.normal(0.5, 3, 25)
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    measured = shift(before, after, 0.95)
    assert measured is not None
    assert (measured.low, measured.high) == pytest.approx((expected.low, expected.high))
    assert (measured.before, measured.after, measured.groups) == (before.mean(), after.mean(), 25)


def test_rows_of_one_group_are_not_independent() -> None:
    values = np.repeat([0.0, 1.0, 0.0, 1.0], 25)
    blocks = [number // 25 for number in range(100)]
    alone, together = shift(values, values, 0.95), shift(values, values, 0.95, blocks, blocks)
    assert alone is not None and together is not None
    assert together.groups == 4 and together.high > 5 * alone.high


def test_one_group_shows_nothing_and_no_row_gives_nothing() -> None:
    one = shift([1.0, 2.0, 3.0], [9.0], 0.95)
    assert one is not None and one.low == -math.inf and one.verdict(0.1, "both", 1) == "not enough rows"
    assert shift([], [1.0], 0.95) is None and shift([1.0], [], 0.95) is None
    with pytest.raises(ValueError, match="finite"):
        shift([1.0, math.nan], [1.0], 0.95)


@pytest.mark.parametrize(
    ("low", "high", "harm", "expected"),
    [
        (0.11, 0.3, "both", "drift"),
        (0.11, 0.3, "up", "drift"),
        (0.11, 0.3, "down", "steady"),
        (-0.3, -0.11, "both", "drift"),
        (-0.3, -0.11, "down", "drift"),
        (-0.3, -0.11, "up", "steady"),
        (-0.05, 0.05, "both", "steady"),
        (0.05, 0.2, "both", "not enough rows"),  # a change, but perhaps a small one
        (-0.2, 0.05, "down", "not enough rows"),
        (-0.2, 0.05, "up", "steady"),
    ],
)
def test_the_verdict_needs_the_whole_interval(low: float, high: float, harm: str, expected: str) -> None:
    measured = Shift(0.0, (low + high) / 2, low, high, groups=30)
    assert measured.verdict(0.1, harm, 30) == expected  # type: ignore[arg-type]
    assert measured.verdict(0.1, harm, 31) == "not enough rows"  # type: ignore[arg-type]


def test_equal_samples_hardly_ever_drift() -> None:
    """Each day another look: 365 pairs of samples whose means differ by half of the margin."""
    random = np.random.default_rng(1)
    verdicts = []
    for _ in range(365):
        measured = shift(random.normal(0, 0.3, 60), random.normal(0.05, 0.3, 60), 0.95)
        assert measured is not None
        verdicts.append(measured.verdict(0.1, "both", 30))
    assert verdicts.count("drift") == 0
