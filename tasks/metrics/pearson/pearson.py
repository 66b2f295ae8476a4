"""Correlation of numbers."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base, correlations


class Pearson(base.Correlation):
    """Pearson's correlation of true and predicted numbers, in -1..1; see ``base.Correlation``."""

    def correlation(self, pairs: np.ndarray) -> float:
        return correlations.pearson(pairs)
