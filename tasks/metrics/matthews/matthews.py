"""Correlation of labels."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base


class Matthews(base.CorpusMetric):
    """Matthews' correlation of true and said labels, in -1..1 (Matthews 1975; for several labels Gorodkin 2004): 0 for
    a model that always says the same. Labels are compared as by ``accuracy``."""

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return base.labels(predictions, references)

    def value(self, statistics: np.ndarray) -> float:
        counts = base.confusion(statistics).astype(np.float64)
        true, said, all_ = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
        covariance = counts.trace() * all_ - true @ said
        spread = np.sqrt(all_**2 - true @ true) * np.sqrt(all_**2 - said @ said)
        return float(covariance / spread) if spread > 0 else 0.0
