"""Correlation of ranks."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from tasks.metrics import base


class Spearman(base.Correlation):
    """Spearman's correlation of the ranks of true and predicted numbers, in -1..1; see ``base.Correlation``.

    Equal numbers share their mean rank.
    """

    def correlation(self, pairs: np.ndarray) -> float:
        return base.correlation(rankdata(pairs, axis=0))
