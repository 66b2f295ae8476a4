"""Correlation of ranks."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from tasks.metrics import base


class Spearman(base.CorpusMetric):
    """Spearman's correlation of the ranks of true and said numbers, in -1..1; equal numbers share their mean rank. What
    is said and is no number counts as -1, as T5 does."""

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return base.numbers(predictions, references)

    def value(self, statistics: np.ndarray) -> float:
        return base.correlation(rankdata(statistics, axis=0))
