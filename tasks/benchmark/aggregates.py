"""Aggregate values of rows to one score with an interval.

``mean`` aggregates numbers; the others aggregate pairs (target, predicted) of lm-eval's ``process_results``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.metrics import correlations
from tasks.metrics.groups import grouped
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval, resampled_statistics, statistic_interval

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


@dataclass(frozen=True)
class Units:
    """What a score aggregates: rows, or the questions that rows belong to.

    Attributes:
        measure: name in ``AGGREGATES`` of the aggregate over ``items``.
        groups: the independent group of each item.
    """

    items: Items
    measure: str
    groups: list[Hashable]


def units(items: Items, measure: str, groups: Sequence[str | None] | None = None) -> Units:
    """The units of ``items``.

    Args:
        groups: the group of each row; a row without one is a group by itself.
    """
    named: list[Hashable] = [row if group is None else group for row, group in enumerate(groups or [None] * len(items))]
    if measure != "all_of_a_question":
        return Units(items, measure, named)
    of_question: dict[Any, Hashable] = {}
    for (question, _), group in zip(items, named, strict=True):
        of_question.setdefault(question, group)
    return Units(_by_question(items), "mean", list(of_question.values()))


def draws(items: Items, measure: str, params: IntervalParams, groups: Sequence[str | None] | None = None) -> np.ndarray:
    """Scores of ``params.resamples`` resamples of groups; NaN for one without a correlation.

    Data with equal groups are resampled alike.
    """
    drawn = units(items, measure, groups)
    if drawn.measure == "mean":
        by_group = grouped(np.asarray(drawn.items, dtype=float), drawn.groups)
        return by_group.resampled_means(params.resamples, params.seed)[:, 0]
    return resampled_statistics(np.asarray(drawn.items), AGGREGATES[drawn.measure], params, drawn.groups)


def interval(
    items: Items, measure: str, params: IntervalParams, groups: Sequence[str | None] | None = None
) -> tuple[float, float, float]:
    """(score, low, high): percentile bootstrap over groups, as ``tasks.metrics.statistics`` has it for means."""
    drawn = units(items, measure, groups)
    if drawn.measure == "mean":
        return mean_interval(drawn.items, params, drawn.groups)
    return statistic_interval(np.array(drawn.items), AGGREGATES[drawn.measure], params, drawn.groups)
