"""``tasks.metrics.groups``: sums by group, standard errors by hand, and resamples that draw whole groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.metrics.groups import Grouped, drawn_counts, group_index, grouped


def test_values_are_added_up_by_group_and_missing_ones_are_left_out() -> None:
    by_group = grouped([[1.0, 5.0], [2.0, math.nan], [4.0, 7.0]], ["a", "b", "a"])
    assert by_group.sums.tolist() == [[5.0, 12.0], [2.0, 0.0]]
    assert by_group.sizes.tolist() == [[2.0, 2.0], [1.0, 0.0]]
    assert by_group.means().tolist() == [pytest.approx(7 / 3), 6.0]


def test_without_groups_each_row_is_one() -> None:
    by_group = grouped([1.0, 2.0, 4.0])
    assert by_group.count == 3 and by_group.sizes.tolist() == [[1.0]] * 3


def test_groups_are_numbered_as_they_come() -> None:
    assert group_index(["b", "a", "b", ("a", 1)]).tolist() == [0, 1, 0, 2]


def test_standard_error_of_single_rows_is_the_usual_one() -> None:
    values = np.array([0.2, 0.5, 0.9, 0.4])
    assert grouped(values).standard_errors()[0] == pytest.approx(values.std(ddof=1) / 2)


def test_standard_error_of_two_unequal_groups_by_hand() -> None:
    # Mean 3 of {1, 2, 6}; residuals of the sums: 3 - 3 * 2 = -3 and 6 - 3 = 3; sqrt((9 + 9) * 2 / 1) / 3 = 2.
    assert grouped([1.0, 2.0, 6.0], ["a", "a", "b"]).standard_errors()[0] == pytest.approx(2.0)


def test_a_resample_draws_whole_groups() -> None:
    # Two groups with means 0 and 1, drawn twice: every resampled mean is 0, 1/2 or 1, never one of single rows.
    by_group = grouped([0.0] * 5 + [1.0] * 5, [0] * 5 + [1] * 5)
    assert set(by_group.resampled_means(200, seed=0)[:, 0]) == {0.0, 0.5, 1.0}


def test_draws_depend_on_the_count_and_the_seed_alone_and_sum_to_the_count() -> None:
    first, again = (np.concatenate(list(drawn_counts(7, 50, seed=3))) for _ in range(2))
    assert (first == again).all() and (first.sum(axis=1) == 7).all()
    assert (first != np.concatenate(list(drawn_counts(7, 50, seed=4)))).any()


def test_batches_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(drawn_counts(6, 40, seed=0)))
    monkeypatch.setattr("tasks.metrics.groups._BATCH", 30)
    assert (np.concatenate(list(drawn_counts(6, 40, seed=0))) == whole).all()


def test_a_resample_without_a_value_is_not_a_number() -> None:
    means = Grouped(np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]])).resampled_means(100, seed=0)[:, 0]
    assert np.isnan(means).any() and set(means[~np.isnan(means)]) == {1.0}
