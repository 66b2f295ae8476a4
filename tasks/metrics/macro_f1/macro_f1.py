"""F1 averaged over labels."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base


class MacroF1(base.CorpusMetric):
    """Mean over the labels that references have of the F1 of each, in 0..1: a rare label weighs as much as a frequent
    one. Labels are compared as by ``accuracy``; what is no label is wrong, and no label of its own."""

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return base.labels(predictions, references)

    def value(self, statistics: np.ndarray) -> float:
        counts = base.confusion(statistics)
        true, said = counts.sum(axis=1), counts.sum(axis=0)
        asked = true > 0
        return float((2 * counts.diagonal()[asked] / (true + said)[asked]).mean())
