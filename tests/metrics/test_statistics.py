"""Averages over prompt variants, intervals that draw whole groups, and the verdict on an interval."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import (
    ROUNDING,
    averaged_columns,
    direction,
    mean_interval,
    mean_intervals,
    statistic_interval,
    variants_by_row,
)

KEYS = [("chats", "2", "short"), ("chats", "1", "short"), ("mails", "2", "short"), ("chats", "2", "long")]


def test_one_row_id_in_two_sources_is_two_rows() -> None:
    assert variants_by_row(zip(KEYS, "abcd", strict=True)) == [["a", "d"], ["b"], ["c"]]


def test_columns_are_averaged_over_variants_that_have_the_score() -> None:
    names = ("source", "row_id", "template_id")
    rows = [dict(zip(names, key, strict=True)) | {"group": "g", "a": None, "b": None} for key in KEYS]
    rows[0]["a"], rows[3]["a"], rows[3]["b"] = 1.0, 0.5, 0.25
    del rows[1]["group"]
    scores, groups = averaged_columns(rows, ("a", "b"))
    assert scores[0].tolist() == [0.75, 0.25] and np.isnan(scores[1:]).all()
    assert groups == [("chats", "g"), ("chats", "1"), ("mails", "g")]
    assert averaged_columns([], ("a", "b"))[0].shape == (0, 2)


ROWS = np.array([0.0] * 3 + [1.0] * 3)
GROUPS = ["a"] * 3 + ["b"] * 3
FEW, MANY = IntervalParams(resamples=500), IntervalParams(resamples=2000)


def test_an_interval_over_groups_is_wider_by_hand() -> None:
    """Of two groups each is drawn twice in 1/4 of the resamples. Of six rows the mean is 0 in 1/64, below 2.5 %."""
    assert mean_interval(ROWS, MANY, GROUPS) == (0.5, 0.0, 1.0)
    assert mean_interval(ROWS, MANY) == pytest.approx((0.5, 1 / 6, 5 / 6))
    rows = ROWS[:, None]
    assert statistic_interval(rows, np.mean, MANY, GROUPS) == (0.5, 0.0, 1.0)
    assert statistic_interval(rows, np.mean, MANY) == pytest.approx((0.5, 1 / 6, 5 / 6))


def test_columns_are_as_if_each_were_alone_and_may_lack_values() -> None:
    random = np.random.default_rng(0)
    columns = np.column_stack([ROWS, random.random(6), np.full(6, np.nan)])
    columns[0, 1] = np.nan
    first, second, third = mean_intervals(columns, FEW, GROUPS)
    assert first == mean_interval(ROWS, FEW, GROUPS) and third is None
    assert second is not None and second.value == columns[1:, 1].mean()
    assert mean_intervals(np.empty((0, 2)), FEW) == [None, None]


def test_resamples_without_the_statistic_are_left_out() -> None:
    """Of two rows, half of the resamples draw one twice; a statistic of different rows alone is then not defined."""
    rows = np.array([[0.0], [1.0]])
    interval = statistic_interval(rows, lambda drawn: 0.8 if np.ptp(drawn) else float("nan"), FEW)
    assert interval == (0.8, 0.8, 0.8)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 0.2, 1), (-0.2, -0.1, -1), (-0.1, 0.1, 0), (ROUNDING, 0.2, 0), (-0.2, 0.0, 0)],
)
def test_a_direction_needs_the_whole_interval_on_one_side_of_zero(low: float, high: float, expected: int) -> None:
    assert direction(low, high) == expected
