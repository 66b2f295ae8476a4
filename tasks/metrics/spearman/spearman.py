"""Correlation of ranks."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base, correlations


class Spearman(base.Correlation):
    """Spearman's correlation of the ranks of true and predicted numbers, in -1..1; see ``base.Correlation``.

    Equal numbers share their mean rank.
    """

    def correlation(self, pairs: np.ndarray) -> float:
        return correlations.spearman(pairs)
