"""How much a score depends on the seed of the training: its mean and its spread over repeated trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
