"""Correlation of numbers."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base


class Pearson(base.CorpusMetric):
    """Pearson's correlation of true and predicted numbers, in -1..1.

    A prediction that is no number counts as -1, as in T5's evaluation.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return base.numbers(predictions, references)

    def value(self, statistics: np.ndarray) -> float:
        return base.correlation(statistics)
