"""Calibration: whether 8 of 10 predictions with a probability of 0.8 are correct (Liang et al. 2022, section 4.4).

HELM's code: ``src/helm/benchmark/metrics/basic_metrics.py`` (``compute_calibration_metrics``), which takes
``get_ece_em`` and ``get_selective_stats`` of ``uncertainty-calibration`` (Kumar et al. 2019). This module
uses the same definitions. ``tests/benchmark/helm`` has values worked out by hand; ``bench/RESULTS.md`` compares the
results with those of ``uncertainty-calibration``.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

BINS = 10


FLOOR_DRAWS = 2000
"""Draws of ``calibration_floor``."""


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Mean over rows of |accuracy - mean confidence| of the row's bin; bins of *equal mass*, as HELM has them.

    ``confidence`` (rows): probability of the chosen answer; ``correct`` (rows): 1 or 0. Rows are sorted by confidence
    and cut into ``bins`` parts of nearly equal number, the first ones one larger. A border lies half-way between two
    values; equal values stay in one bin, the lower one.
    """
    _check(confidence, correct)
    return float(np.abs((correct - confidence) @ _in_bins(confidence, bins)).sum() / len(confidence))


def calibration_floor(confidence: np.ndarray, seed: int, bins: int = BINS) -> tuple[float, float]:
    """Calibration error of a perfectly calibrated model with these confidences: its mean, and its 95 % point.

    Each draw lets every row be correct with the probability of its confidence. With few rows, chance alone then gives
    an error that is far from 0 (Bröcker and Smith 2007, "Increasing the Reliability of Reliability Diagrams", draw the
    same way). A measured error up to the 95 % point is no sign of a bad calibration.
    """
    _check(confidence, confidence)
    draws_DR = np.random.default_rng(seed).random((FLOOR_DRAWS, len(confidence))) < confidence
    errors_D = np.abs((draws_DR - confidence) @ _in_bins(confidence, bins)).sum(1) / len(confidence)
    return float(errors_D.mean()), float(np.quantile(errors_D, 0.95))


def _in_bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """1 in the column of each row's bin, else 0; shape: rows, bins."""
    parts = np.array_split(np.sort(confidence), min(bins, len(confidence)))
    borders = np.unique([(a[-1] + b[0]) / 2 for a, b in pairwise(parts)])
    where = np.searchsorted(borders, confidence, side="left")
    return np.asarray(where[:, None] == np.arange(len(borders) + 1), dtype=np.float64)


def selective_accuracy(confidence: np.ndarray, correct: np.ndarray, coverage: float = 0.1) -> float:
    """Accuracy on the most confident rows: as in HELM, on the first floor(coverage * rows) + 1."""
    return float(_cumulative(confidence, correct)[int(coverage * len(confidence))])


def coverage_accuracy_area(confidence: np.ndarray, correct: np.ndarray) -> float:
    """The area under the coverage-accuracy curve: mean of the accuracies on the k most confident rows, for every k."""
    return float(_cumulative(confidence, correct).mean())


def _cumulative(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    _check(confidence, correct)
    ordered = correct[np.argsort(-confidence, kind="stable")]
    return np.asarray(np.cumsum(ordered) / np.arange(1, len(ordered) + 1))


def _check(confidence: np.ndarray, correct: np.ndarray) -> None:
    if len(confidence) == 0 or len(confidence) != len(correct):
        raise ValueError(
            f"calibration needs one confidence and one result per row; got {len(confidence)} and {len(correct)}"
        )
    if not np.isfinite(confidence).all() or confidence.min() < 0 or confidence.max() > 1:
        raise ValueError("calibration needs confidences in 0..1; one is outside or NaN")
