"""F1 averaged over labels."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base


class MacroF1(base.CorpusMetric):
    """Mean of the F1 of each label, in 0..1: a rare label weighs as much as a frequent one.

    Labels are those of the references, compared as ``accuracy`` compares them. A prediction that is no label is wrong
    and adds no label.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return base.labels(predictions, references)

    def value(self, statistics: np.ndarray) -> float:
        counts = base.confusion(statistics)
        true, predicted = counts.sum(axis=1), counts.sum(axis=0)
        is_label = true > 0
        return float((2 * counts.diagonal()[is_label] / (true + predicted)[is_label]).mean())
