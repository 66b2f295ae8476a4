"""Aggregate values of rows to one score with an interval.

``mean`` aggregates numbers; the others aggregate pairs (target, predicted) of lm-eval's ``process_results``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tasks.metrics import correlations
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval, statistic_interval

Items = Sequence[Any] | np.ndarray


def mean(items: Items) -> float:
    return float(np.mean(items))


def f1(items: Items) -> float:
    """F1 of class 1; 0 if it is neither a target nor predicted."""
    return _f1_of(_columns(items), 1)


def f1_of_three(items: Items) -> float:
    """Unweighted mean of the F1 of classes 0, 1 and 2, as SuperGLUE scores CommitmentBank."""
    columns = _columns(items)
    return float(np.mean([_f1_of(columns, label) for label in range(3)]))


def _columns(items: Items) -> np.ndarray:
    """Targets and predictions (shape: 2, rows)."""
    return np.asarray(items).reshape(-1, 2).T


def _f1_of(columns: np.ndarray, label: int) -> float:
    # The functions of scikit-learn take a millisecond, which thousands of resamples turn into many seconds.
    right, predicted = columns == label
    positives = int(right.sum() + predicted.sum())
    return 2 * int((right & predicted).sum()) / positives if positives else 0.0


def matthews(items: Items) -> float:
    """Matthews' correlation of the labels; 0 if one of them is constant (several labels: Gorodkin 2004)."""
    labels, numbers = np.unique(_columns(items), return_inverse=True)
    right, predicted = numbers.reshape(2, -1)
    size = len(labels)
    counts = np.bincount(right * size + predicted, minlength=size * size).reshape(size, size).astype(np.float64)
    true, made, all_ = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    spread = np.sqrt((all_**2 - true @ true) * (all_**2 - made @ made))
    return float((counts.trace() * all_ - true @ made) / spread) if spread > 0 else 0.0


def pearson(items: Items) -> float:
    return correlations.pearson(_columns(items).T.astype(np.float64))


def spearman(items: Items) -> float:
    return correlations.spearman(_columns(items).T)


def all_of_a_question(items: Items) -> float:
    """Share of questions with every row correct; items are (question, whether the row is correct)."""
    return mean(_by_question(items))


def _by_question(items: Items) -> list[float]:
    all_right: dict[Any, bool] = {}
    for question, right in items:
        all_right[question] = all_right.get(question, True) and bool(right)
    return [float(right) for right in all_right.values()]


AGGREGATES: dict[str, Callable[[Items], float]] = {
    "mean": mean,
    "f1": f1,
    "f1_of_three": f1_of_three,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
    "all_of_a_question": all_of_a_question,
}

SPANS = {"matthews": 2.0, "pearson": 2.0, "spearman": 2.0}
"""Aggregate → the width of its scale, if that is not 1."""


def units(items: Items, measure: str) -> tuple[Items, str]:
    """Units of the bootstrap and their aggregate. Rows of one question depend on each other, so they form one unit."""
    return (_by_question(items), "mean") if measure == "all_of_a_question" else (items, measure)


def draws(items: Items, measure: str, params: IntervalParams) -> np.ndarray:
    """Scores of ``params.resamples`` resamples; NaN for one without a correlation.

    Data of equal size are resampled at equal indices.
    """
    drawn, how = units(items, measure)
    generator = np.random.default_rng(params.seed)
    resamples = (generator.integers(len(drawn), size=len(drawn)) for _ in range(params.resamples))
    if how == "mean":
        values = np.asarray(drawn, dtype=float)
        return np.array([values[indices].mean() for indices in resamples])
    pairs = np.asarray(drawn)
    return np.array([AGGREGATES[how](pairs[indices]) for indices in resamples])


def interval(items: Items, measure: str, params: IntervalParams) -> tuple[float, float, float]:
    """(score, low, high): percentile bootstrap over rows, as ``tasks.metrics.statistics`` has it for means."""
    drawn, how = units(items, measure)
    return (
        mean_interval(drawn, params) if how == "mean" else statistic_interval(np.array(drawn), AGGREGATES[how], params)
    )
