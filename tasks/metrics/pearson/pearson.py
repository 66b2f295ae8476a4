"""Correlation of numbers."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base


class Pearson(base.CorpusMetric):
    """Pearson's correlation of true and said numbers, in -1..1. What is said and is no number counts as -1, as T5
    does."""

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return base.numbers(predictions, references)

    def value(self, statistics: np.ndarray) -> float:
        return base.correlation(statistics)
