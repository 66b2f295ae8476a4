"""``bench.retention`` decides as ``tasks.metrics.verdicts.retained`` does."""

from __future__ import annotations

import numpy as np
import pytest

from bench.retention import CONFIDENCE, VERDICTS, verdicts
from tasks.metrics.differences import paired_difference
from tasks.metrics.params import IntervalParams, VerdictParams
from tasks.metrics.verdicts import Kept, retained


@pytest.mark.parametrize("tasks", [1, 8])
def test_the_simulation_decides_as_reports_do(tasks: int) -> None:
    random, params = np.random.default_rng(0), VerdictParams()
    seen, intervals = set(), IntervalParams(resamples=100, confidence=CONFIDENCE)
    for rows, changed in ((50, 0.0), (50, 0.3), (300, 0.02), (300, 0.3), (2000, 0.1), (2000, 0.3)):
        for tilt in (0.2, 0.5, 0.8):
            fallen = random.binomial(rows, changed * tilt, size=(2, tasks))
            risen = random.binomial(rows - fallen, changed * (1 - tilt))
            computed = verdicts(fallen, risen, rows, params)
            for given, fell, rose in zip(computed, fallen, risen, strict=True):
                scores = [np.repeat([-1.0, 1.0, 0.0], [f, r, rows - f - r]) for f, r in zip(fell, rose, strict=True)]
                family = {i: Kept(paired_difference(one, intervals), params.margin) for i, one in enumerate(scores)}
                names = [VERDICTS[number] for number in given]
                assert dict(enumerate(names)) == retained(family, CONFIDENCE, params)
                seen |= set(names)
    assert seen == set(VERDICTS)
