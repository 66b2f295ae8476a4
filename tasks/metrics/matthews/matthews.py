"""Correlation of labels."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base


class Matthews(base.CorpusMetric):
    """Matthews' correlation of true and predicted labels, in -1..1 (Matthews 1975; several labels: Gorodkin 2004).

    A model that always predicts the same label has 0. Labels are compared as ``accuracy`` compares them.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return base.labels(predictions, references)

    def value(self, statistics: np.ndarray) -> float:
        counts = base.confusion(statistics).astype(np.float64)
        true, predicted, all_ = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
        covariance = counts.trace() * all_ - true @ predicted
        spread = np.sqrt(all_**2 - true @ true) * np.sqrt(all_**2 - predicted @ predicted)
        return float(covariance / spread) if spread > 0 else 0.0
