"""Aggregate values of rows to one score with an interval.

Values of ``mean`` are numbers. Others are pairs as lm-eval's ``process_results`` gives them: (target, predicted).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics

from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval, statistic_interval

Items = Sequence[Any] | np.ndarray


def mean(items: Items) -> float:
    return float(np.mean(items))


def f1(items: Items) -> float:
    """F1 of class 1; 0 if it is neither a target nor predicted."""
    right, predicted = zip(*items, strict=True)
    return float(metrics.f1_score(right, predicted, zero_division=0.0))


def f1_of_three(items: Items) -> float:
    """Unweighted mean of the F1 of classes 0, 1 and 2, as SuperGLUE scores CommitmentBank."""
    right, predicted = (np.array(part) for part in zip(*items, strict=True))
    return float(np.mean([metrics.f1_score(right == c, predicted == c, zero_division=0.0) for c in range(3)]))


def matthews(items: Items) -> float:
    right, predicted = zip(*items, strict=True)
    return float(metrics.matthews_corrcoef(right, predicted))


def pearson(items: Items) -> float:
    return _correlation(stats.pearsonr, items)


def spearman(items: Items) -> float:
    return _correlation(stats.spearmanr, items)


def _correlation(function: Callable[..., Any], items: Items) -> float:
    right, predicted = (np.array(part, dtype=float) for part in zip(*items, strict=True))
    if len(right) < 2 or np.ptp(right) == 0 or np.ptp(predicted) == 0:
        return 0.0  # a constant prediction does not correlate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return float(function(right, predicted).statistic)


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


def units(items: Items, measure: str) -> tuple[Items, str]:
    """Units of the bootstrap and their aggregate. Rows of one question are not independent: they are one unit."""
    return (_by_question(items), "mean") if measure == "all_of_a_question" else (items, measure)


def draws(items: Items, measure: str, params: IntervalParams) -> np.ndarray:
    """Scores of ``params.resamples`` resamples. Data of equal size are resampled at equal indices."""
    drawn, how = units(items, measure)
    generator = np.random.default_rng(params.seed)
    resamples = (generator.integers(len(drawn), size=len(drawn)) for _ in range(params.resamples))
    if how == "mean":
        values = np.asarray(drawn, dtype=float)
        return np.array([values[indices].mean() for indices in resamples])
    return np.array([AGGREGATES[how]([drawn[i] for i in indices]) for indices in resamples])


def interval(items: Items, measure: str, params: IntervalParams) -> tuple[float, float, float]:
    """(score, low, high): percentile bootstrap over rows, as ``tasks.metrics.statistics`` has it for means."""
    drawn, how = units(items, measure)
    if how == "mean":
        return mean_interval(drawn, params.resamples, params.confidence, params.seed)
    settings = (params.resamples, params.confidence, params.seed)
    return statistic_interval(np.array(drawn), AGGREGATES[how], *settings)


def percentiles(values: np.ndarray, params: IntervalParams) -> tuple[float, float]:
    tail = (1 - params.confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
