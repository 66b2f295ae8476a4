"""How much a score depends on the seed of the training: its mean and its spread over repeated trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Spread:
    """A score over seeds.

    Attributes:
        mean: over the trainings.
        deviation: sample standard deviation (n - 1) of the score of one training.
        count: number of trainings.
    """

    mean: float
    deviation: float
    count: int

    def gain_needed(self, confidence: float) -> float:
        """The gain that another seed alone gives with probability ``1 - confidence``: Student's t times ``deviation``.

        If trainings are no better than a fixed opponent on average, the gain of one more training over it has mean 0,
        and gain / deviation follows Student's t with ``count - 1`` degrees of freedom. One of the ``count`` trainings
        exceeds the bound less often, since its own gain is part of the deviation. The best of them exceeds it less
        often than stated if ``count`` is 3, and more often if there are many.
        """
        return float(stats.t.ppf(confidence, self.count - 1) * self.deviation)


def spread(scores: Sequence[float]) -> Spread:
    """The spread of ``scores``, one per training with a seed of its own.

    Raises:
        ValueError: there are fewer than two scores, or one is not finite.
    """
    if len(scores) < 2:
        raise ValueError(f"a deviation over seeds needs at least two trainings; there are {len(scores)}")
    if not all(map(math.isfinite, scores)):
        raise ValueError("a deviation over seeds needs finite scores; leave out the trainings without a score first")
    return Spread(float(np.mean(scores)), float(np.std(scores, ddof=1)), len(scores))
