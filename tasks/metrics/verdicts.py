"""What one difference shows: better, worse, the same within a margin, or too few rows; and what many show at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from scipy import stats

from tasks.metrics.differences import Difference
from tasks.metrics.params import VerdictParams
from tasks.metrics.statistics import ROUNDING

K = TypeVar("K")

Verdict = Literal["better", "worse", "same", "not enough rows"]

Retained = Literal["gained", "kept", "lost", "undecided"]

PRIMARY_SHARE = 0.8
"""Share of a report's level that belongs to its primary metric."""


def verdict(difference: Difference, margin: float, params: VerdictParams) -> Verdict:
    """What ``difference`` shows, where more is better.

    - ``better``, ``worse``: the whole interval lies on one side of zero;
    - ``same``: the whole interval lies within ``margin`` of zero (equivalence; Lakens 2017);
    - ``not enough rows``: none of these, or there are fewer groups than ``params.min_groups``. ``rows_needed``
      estimates how many rows would decide.
    """
    if difference.groups < params.min_groups:
        return "not enough rows"
    if difference.direction:
        return "better" if difference.direction > 0 else "worse"
    return "same" if -margin < difference.low and difference.high < margin else "not enough rows"


def needed(entry: Mapping[str, Any]) -> str:
    """The ``rows_needed`` of a verdict as text that follows it; empty if the verdict is decided."""
    return f" (~{entry['rows_needed']} rows needed)" if "rows_needed" in entry else ""


def rows_needed(difference: Difference, margin: float, params: VerdictParams) -> int:
    """Estimate the rows with which ``verdict`` shows better, worse or same.

    If the interval leaves out zero already, only groups are missing. Else an interval that is narrower than ``margin``
    decides, whatever the difference is: it either leaves out zero or lies within the margin. Its width shrinks with the
    root of the number of groups. If the verdict is "not enough rows", the present rows are fewer.
    """
    shown = difference.direction != 0
    groups = 0.0 if shown else difference.groups * ((difference.high - difference.low) / margin) ** 2
    return math.ceil(difference.rows / difference.groups * max(params.min_groups, groups))


def p_value(difference: Difference, params: VerdictParams) -> float:
    """The p-value of ``difference`` for ``marked``: 1 if its verdict is neither better nor worse by itself.

    The bootstrap interval may contain zero where the t-test does not. A report must not mark such a difference.
    """
    return difference.p if difference.direction and difference.groups >= params.min_groups else 1.0


@dataclass(frozen=True)
class Kept:
    """A task that may be kept or lost.

    Attributes:
        difference: of its score, after minus before; more is better.
        margin: a smaller loss does not count.
        span: the most that one row can lose, such as 1 for a score from 0 to 1; 0 if that has no limit.

    ``hidden`` is a bound only if the score is a mean of rows, or of tasks that are. In F1 or a correlation a row of a
    rare label weighs more than its share, and no bound is known: such a score is treated as if rows weighed the same,
    so that few equal rows do not count as kept, but a loss may be hidden more often. A loss without limit is not
    covered at all.
    """

    difference: Difference
    margin: float
    span: float = 1.0

    @property
    def hidden(self) -> float:
        """The largest probability that no group shows a loss of ``margin``, if the true loss is that large.

        If group i loses something with probability ``p_i`` and has the weight ``w_i`` in the mean, the loss is at most
        ``span * sum(w_i * p_i)``. So the ``p_i`` are on average at least ``margin / _reach``, and the product of
        ``1 - p_i`` is largest if all are equal (Jensen).
        """
        return (1 - self.margin / self._reach) ** self.difference.groups if self.margin < self._reach else 0.0

    @property
    def _reach(self) -> float:
        """The most that the score loses if every group loses as much as the heaviest one can."""
        return self.span * self.difference.heaviest

    def groups_to_show(self, tail: float) -> float:
        """Groups with which ``hidden`` is ``tail``; 0 if it is 0 for any number."""
        return math.log(tail) / math.log1p(-self.margin / self._reach) if self.margin < self._reach else 0.0


def retained(tasks: Mapping[K, Kept], confidence: float, params: VerdictParams) -> dict[K, Retained]:
    """Whether each task is kept, judged together.

    ``kept`` is shown, not assumed: the loss is smaller than its margin (non-inferiority). ``lost`` is a shown loss that
    is not kept, ``gained`` a shown gain, ``undecided`` none of these. Over several tasks both claims are adjusted by
    Holm (1979): some task of many would seem lost, or kept, by chance.
    """
    tail = (1 - confidence) / 2
    not_inferior = holm(
        {key: max(one.hidden, _tail_p(one.difference, -one.margin, params)) for key, one in tasks.items()}
    )
    above = holm({key: _tail_p(one.difference, 0.0, params) for key, one in tasks.items()})
    below = holm({key: _tail_p(one.difference.negated(), 0.0, params) for key, one in tasks.items()})

    def of(key: K) -> Retained:
        if above[key] <= tail:
            return "gained"
        if not_inferior[key] <= tail:
            return "kept"
        return "lost" if below[key] <= tail else "undecided"

    return {key: of(key) for key in tasks}


def retained_entries(tasks: Mapping[K, Kept], confidence: float, params: VerdictParams) -> dict[K, dict[str, Any]]:
    """Per task, ``verdict`` (of ``retained``) and, if it is ``undecided``, ``rows_needed``."""
    verdicts = retained(tasks, confidence, params)
    return {
        key: {"verdict": verdicts[key]}
        | ({"rows_needed": rows_to_decide(one, len(tasks), confidence, params)} if verdicts[key] == "undecided" else {})
        for key, one in tasks.items()
    }


def rows_to_decide(task: Kept, tasks: int, confidence: float, params: VerdictParams) -> int:
    """Estimate the rows with which ``retained`` decides on one of ``tasks`` tasks.

    If a gain or loss is shown already, only groups are missing. Else an interval that is narrower than the margin
    decides, whatever the difference is: it lies above ``-margin`` or below zero. Its level is that of the first of
    Holm's tests, which is the strictest. If the verdict is ``undecided``, the present rows are fewer.
    """
    difference, tail = task.difference, (1 - confidence) / 2 / tasks
    if difference.groups < 2:
        groups = 0.0
    elif abs(difference.value) > difference.error * float(stats.t.isf(tail, difference.groups - 1)):
        return math.ceil(difference.rows / difference.groups * params.min_groups)
    else:
        width = 2 * difference.error * float(stats.t.isf(tail, difference.groups - 1))
        groups = difference.groups * (width / task.margin) ** 2
    return math.ceil(difference.rows / difference.groups * max(params.min_groups, groups, task.groups_to_show(tail)))


def _tail_p(difference: Difference, limit: float, params: VerdictParams) -> float:
    """One-sided p-value of "the true difference is at most ``limit``"; 1 for fewer groups than a verdict needs."""
    if difference.groups < params.min_groups:
        return 1.0
    if difference.error == 0:
        return 0.0 if difference.value > limit + ROUNDING else 1.0
    return float(stats.t.sf((difference.value - limit) / difference.error, difference.groups - 1))


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """Adjust p-values for their number, so that any false rejection is as rare as in one test (Holm 1979)."""
    adjusted, largest = {}, 0.0
    for rank, key in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p_values}


def marked(p_values: Mapping[tuple[K, str], float], primary: str, level: float) -> set[tuple[K, str]]:
    """The differences that a report marks, out of all that it shows, adjusted for their number.

    Without an adjustment, three of four reports on equal experiments would mark something. The differences of the
    primary metric are one family and those of the other metrics another, so that the number of secondary metrics costs
    the primary one nothing. The primary family has ``PRIMARY_SHARE`` of ``level`` and the other the rest. In each
    family at most that share of the marked differences is expected to be false (Benjamini & Hochberg 1995). If no
    system differs, a report marks anything with a probability of at most ``level``.

    Args:
        p_values: (system, metric) → p-value of its difference.
        primary: the metric that the report is about.

    Returns:
        The keys of the marked differences.
    """
    rejected: set[tuple[K, str]] = set()
    for is_primary, share in ((True, PRIMARY_SHARE), (False, 1 - PRIMARY_SHARE)):
        family = [key for key in p_values if (key[1] == primary) == is_primary]
        adjusted = stats.false_discovery_control([p_values[key] for key in family]) if family else []
        rejected |= {key for key, p in zip(family, adjusted, strict=True) if p <= share * level}
    return rejected
