"""Correlations of two columns of numbers; NaN, not 0, where one of them does not vary."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def pearson(pairs: np.ndarray) -> float:
    """Pearson's correlation of the columns of ``pairs`` (shape: rows, 2); NaN where one has a single value."""
    if (np.ptp(pairs, axis=0) == 0).any():
        return float("nan")
    first, second = (pairs - pairs.mean(axis=0)).T
    return float((first @ second) / np.sqrt((first @ first) * (second @ second)))


def spearman(pairs: np.ndarray) -> float:
    """``pearson`` of the ranks in each column of ``pairs``. Equal numbers share their mean rank."""
    return pearson(rankdata(pairs, axis=0))
