"""Correlation of ranks."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from tasks.metrics import base


class Spearman(base.CorpusMetric):
    """Spearman's correlation of the ranks of true and predicted numbers, in -1..1.

    Equal numbers share their mean rank. A prediction that is no number counts as -1, as in T5's evaluation.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return base.numbers(predictions, references)

    def value(self, statistics: np.ndarray) -> float:
        return base.correlation(rankdata(statistics, axis=0))
