"""Which of several systems may be the best."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.metrics.best import not_told_apart
from tasks.metrics.params import IntervalParams

PARAMS = IntervalParams(resamples=500)


def _scores(means: list[float], rows: int, seed: int, deviation: float = 0.1) -> np.ndarray:
    """Scores of systems that share the difficulty of each row (shape: rows, systems)."""
    random = np.random.default_rng(seed)
    difficulty = random.normal(0, 0.2, size=(rows, 1))
    return difficulty + random.normal(means, deviation, size=(rows, len(means)))


def test_a_system_that_is_clearly_worse_is_left_out_and_close_ones_stay() -> None:
    scores = _scores([0.20, 0.40, 0.401, 0.30], rows=300, seed=0)
    assert set(not_told_apart(scores, PARAMS)) == {1, 2}


def test_the_highest_mean_comes_first() -> None:
    scores = _scores([0.40, 0.42, 0.41, 0.40], rows=50, seed=4)
    chosen = not_told_apart(scores, PARAMS)
    assert len(chosen) > 1
    assert chosen == sorted(chosen, key=lambda number: -scores[:, number].mean())


def test_two_identical_systems_are_both_the_best_or_both_beaten() -> None:
    scores = _scores([0.40, 0.20], rows=200, seed=2)
    assert not_told_apart(scores[:, [0, 0, 1]], PARAMS) == [0, 1]
    assert not_told_apart(scores[:, [1, 1, 0]], PARAMS) == [2]


def test_a_constant_gain_in_every_row_is_shown() -> None:
    """Such a pair has a standard error of zero."""
    ours = np.linspace(0, 1, 40)
    assert not_told_apart(np.stack([ours, ours + 0.1], axis=1), PARAMS) == [1]


def test_rows_of_one_group_count_as_one() -> None:
    scores = _scores([0.40, 0.47], rows=8, seed=3)
    repeated = np.repeat(scores, 50, axis=0)
    groups = np.repeat(np.arange(8), 50).tolist()
    assert not_told_apart(repeated, PARAMS) == [1]
    assert set(not_told_apart(repeated, PARAMS, groups)) == {0, 1}
    assert set(not_told_apart(scores[:1], PARAMS)) == {0, 1}


@pytest.mark.parametrize(("systems", "rows"), [(2, 60), (6, 60), (2, 6)])
def test_of_equal_systems_one_is_left_out_no_more_often_than_the_confidence_allows(systems: int, rows: int) -> None:
    trials = 400
    left_out = sum(
        len(not_told_apart(_scores([0.4] * systems, rows, seed=trial), PARAMS)) < systems for trial in range(trials)
    )
    assert left_out / trials <= 0.05 + 2 * (0.05 * 0.95 / trials) ** 0.5
