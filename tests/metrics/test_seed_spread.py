"""Mean and deviation over seeds."""

from __future__ import annotations

import math

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
