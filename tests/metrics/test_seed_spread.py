"""Mean and deviation over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.metrics.seeds import Spread, spread


def test_the_deviation_is_that_of_a_sample() -> None:
    known = spread([0.1, 0.2, 0.6])
    assert (known.mean, known.count) == (pytest.approx(0.3), 3)
    assert known.deviation == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 2))
    assert spread([0.5, 0.5]) == Spread(0.5, 0.0, 2)


@pytest.mark.parametrize(("scores", "message"), [([0.5], "at least two"), ([0.5, math.nan], "finite")])
def test_one_score_and_a_missing_score_have_no_deviation(scores: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spread(scores)


def rates(count: int) -> tuple[float, float, float]:
    """How often one more training, one of ``count`` and the best of them exceed the bound, if none is better."""
    draws = np.random.default_rng(0).standard_normal((20_000, count + 1))
    bounds = Spread(0.0, 1.0, count).gain_needed(0.95) * draws[:, :count].std(axis=1, ddof=1)
    shown = [draws[:, count], draws[:, 0], draws[:, :count].max(axis=1)]
    more, one, best = (float((gains > bounds).mean()) for gains in shown)
    return more, one, best


def test_chance_alone_exceeds_the_bound_as_often_as_stated() -> None:
    more, one, best = rates(3)
    assert more == pytest.approx(0.05, abs=0.006)
    assert one < best < 0.05


@pytest.mark.parametrize("count", [3, 4, 5, 10, 30, 100])
def test_the_best_of_many_seeds_exceeds_the_bound_no_more_often_than_stated(count: int) -> None:
    more, _, best = rates(count)
    assert 0.015 < best < 0.055 and more < 0.056
