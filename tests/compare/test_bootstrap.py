"""``tasks.metrics.statistics``: intervals against known values and in the degenerate cases."""

import math

import numpy as np
import pytest

from tasks.metrics.differences import paired_difference
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval

PARAMS = IntervalParams(resamples=1000)


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.1, 0.1], [0.0, 0.0], [-0.25] * 40])
def test_constant_values_have_an_interval_of_no_width(values: list[float]) -> None:
    assert mean_interval(values, PARAMS) == (values[0],) * 3


def test_interval_of_two_values_spans_all_resampled_means() -> None:
    # Resampling {0, 1} twice gives means 0, 0.5 and 1 with chances 1/4, 1/2, 1/4: 2.5 % and 97.5 % are 0 and 1.
    assert mean_interval([0.0, 1.0], PARAMS) == (0.5, 0.0, 1.0)


def test_interval_agrees_with_the_normal_one_on_many_normal_values() -> None:
    values = np.random.default_rng(3).normal(0.4, 0.2, 2000)
    mean, low, high = mean_interval(values, IntervalParams(resamples=2000))
    half = 1.96 * values.std() / math.sqrt(2000)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)


def test_95_percent_intervals_cover_the_truth_about_95_percent_of_the_time() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        _, low, high = mean_interval(generator.normal(0.0, 1.0, 60), IntervalParams(resamples=400))
        covered += low <= 0 <= high
    assert 180 <= covered <= 198


def test_higher_confidence_is_wider_and_the_seed_decides_the_rest() -> None:
    values = np.arange(30) / 30
    _, low_95, high_95 = mean_interval(values, PARAMS)
    _, low_99, high_99 = mean_interval(values, PARAMS.model_copy(update={"confidence": 0.99}))
    assert low_99 < low_95 < high_95 < high_99
    assert mean_interval(values, PARAMS) == mean_interval(values, PARAMS)
    assert mean_interval(values, PARAMS.model_copy(update={"seed": 1})) != mean_interval(values, PARAMS)


def test_pairing_is_what_makes_a_small_constant_gain_visible() -> None:
    hard = np.random.default_rng(0).uniform(0.1, 0.9, 50)
    gain = 0.02 + np.random.default_rng(1).normal(0, 0.01, 50)
    assert paired_difference((hard + gain) - hard, PARAMS).low > 0
    _, ours_low, _ = mean_interval(hard + gain, PARAMS)
    assert ours_low < hard.mean()  # unpaired, the gain drowns in what makes rows hard


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf, 0.0]])
def test_missing_values_are_refused_not_answered_with_nan(values: list[float]) -> None:
    with pytest.raises(ValueError, match="an interval needs"):
        mean_interval(values, PARAMS)
