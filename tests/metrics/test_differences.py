"""``tasks.metrics.differences``: the paired interval against Student's t, ties, groups, and what rows can show."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from tasks.metrics.differences import (
    Difference,
    gain,
    groups_needed,
    paired_difference,
    paired_differences,
    statistic_difference,
)
from tasks.metrics.params import IntervalParams

SETTINGS = IntervalParams(resamples=2000)


def test_the_interval_is_never_narrower_than_the_t_interval() -> None:
    values = np.array([0.3, -0.1, 0.4, 0.2, 0.05])
    difference = paired_difference(values, SETTINGS)
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (difference.low, difference.high) == (pytest.approx(low), pytest.approx(high))
    assert difference.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert difference.error == pytest.approx(stats.sem(values))


def test_the_bootstrap_decides_where_it_is_wider() -> None:
    values = np.array([0.0] * 60 + [1.0] * 2)  # skewed: percentiles reach further up than t does
    difference = paired_difference(values, SETTINGS)
    _, high = stats.t.interval(0.95, 61, values.mean(), stats.sem(values))
    assert difference.high > high


def test_rows_of_one_group_are_one_sample() -> None:
    rows = np.repeat([0.3, -0.1, 0.4, 0.2, 0.05], 10)
    groups = np.repeat(np.arange(5), 10).tolist()
    by_group, single = paired_difference(rows, SETTINGS, groups), paired_difference(rows[::10], SETTINGS)
    assert (by_group.groups, by_group.rows) == (5, 50)
    assert (by_group.low, by_group.high, by_group.p) == pytest.approx((single.low, single.high, single.p))


def test_columns_are_as_if_each_were_alone() -> None:
    random = np.random.default_rng(0)
    columns, groups = random.normal(0.1, 1, (12, 4)), [number // 2 for number in range(12)]
    columns[0, 1] = columns[:6, 2] = columns[:, 3] = np.nan
    *scored, missing = paired_differences(columns, SETTINGS, groups)
    assert missing is None
    for column, difference in zip(columns.T, scored, strict=False):
        known = np.isfinite(column)
        alone = paired_difference(column[known], SETTINGS, np.array(groups)[known].tolist())
        assert difference is not None and difference.groups == len({g for g, k in zip(groups, known, strict=True) if k})
        assert astuple(difference) == pytest.approx(astuple(alone))
    assert paired_differences(np.empty((0, 2)), SETTINGS) == [None, None]


@pytest.mark.parametrize("values", [[], [0.1, math.nan]])
def test_missing_differences_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="a difference needs"):
        paired_difference(values, SETTINGS)


def test_one_group_shows_nothing() -> None:
    difference = paired_difference([0.5, 0.6], SETTINGS, ["a", "a"])
    assert (difference.direction, difference.p, difference.detectable(0.95)) == (0, 1.0, None)


@pytest.mark.parametrize(("value", "p", "direction"), [(0.0, 1.0, 0), (0.25, 0.0, 1), (-0.25, 0.0, -1)])
def test_equal_differences_have_no_spread(value: float, p: float, direction: int) -> None:
    difference = paired_difference([value] * 40, SETTINGS)
    assert (difference.low, difference.high) == (value, value)
    assert (difference.p, difference.direction) == (p, direction)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(0.1 + 0.2, 0.3, 0.0), (100 / 3 * 3, 100.0, 0.0), (0.3, 0.3 + 1e-9, -1e-9), (0.5, 0.25, 0.25)],
)
def test_a_difference_at_rounding_is_a_tie(ours: float, theirs: float, expected: float) -> None:
    assert gain(ours, theirs) == pytest.approx(expected, abs=1e-15)


def test_the_detectable_difference_is_shown_in_four_of_five_draws() -> None:
    random = np.random.default_rng(0)
    values = stats.zscore(random.normal(0, 1, 40), ddof=1)  # a deviation of exactly 1
    detectable = paired_difference(values, SETTINGS).detectable(0.95)
    assert detectable == pytest.approx((stats.t.ppf(0.975, 39) + stats.t.ppf(0.8, 39)) / math.sqrt(40))
    assert groups_needed(1.0, detectable, 0.95) in (39, 40, 41)
    shown = stats.ttest_1samp(random.normal(detectable, 1, (2000, 40)), 0, axis=1).pvalue < 0.05
    assert shown.mean() == pytest.approx(0.8, abs=0.03)


def test_groups_needed_as_a_textbook_has_it() -> None:
    # Effect size 0.5, two-sided 5 %, power 80 %: 34 pairs (Cohen 1988, table 2.4.1).
    assert groups_needed(1.0, 0.5, 0.95) == 34


def test_a_statistic_that_is_no_mean_is_treated_alike() -> None:
    rows = np.random.default_rng(1).normal([0.6, 0.4], 0.2, (60, 2))
    as_mean = paired_difference(rows[:, 0] - rows[:, 1], SETTINGS)
    as_statistic = statistic_difference(rows, lambda r: float(r[:, 0].mean() - r[:, 1].mean()), SETTINGS)
    assert as_statistic.value == pytest.approx(as_mean.value)
    assert as_statistic.error == pytest.approx(as_mean.error, rel=0.05)
    assert (as_statistic.low, as_statistic.high) == pytest.approx((as_mean.low, as_mean.high), abs=0.01)


def test_a_resample_without_the_statistic_is_left_out_of_the_difference() -> None:
    rows = np.random.default_rng(2).normal(0.3, 0.1, 12)
    always = statistic_difference(rows, lambda r: float(r.mean()), SETTINGS)
    some = statistic_difference(rows, lambda r: float(r.mean()) if rows[0] in r else math.nan, SETTINGS)
    assert all(map(math.isfinite, astuple(some))) and some.value == always.value
    assert some.error == pytest.approx(always.error, rel=0.2)


def test_the_heaviest_group_of_five_rows_weighs_two_and_a_half_times_the_average_one() -> None:
    rows, groups = np.zeros((8, 2)), [*"aaaaa", "b", "c", "d"]
    assert paired_difference(rows[:, 0], SETTINGS, groups).heaviest == 5 / 2
    assert statistic_difference(rows, lambda r: 0.0, SETTINGS, groups).heaviest == 5 / 2
    assert paired_difference(rows[:, 0], SETTINGS).heaviest == 1.0


def test_a_negated_difference_is_theirs_minus_ours() -> None:
    assert Difference(0.2, 0.1, 0.4, 9, 9, 0.1, 0.01).negated() == Difference(-0.2, -0.4, -0.1, 9, 9, 0.1, 0.01)
