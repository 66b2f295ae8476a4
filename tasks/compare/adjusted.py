"""Differences to the baseline and to other untuned systems: verdicts, and marks adjusted for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.compare.collect import System
from tasks.compare.difference_names import against, metric_of
from tasks.compare.opponents import opponents
from tasks.compare.pairing import row_gains
from tasks.compare.params import CompareParams
from tasks.compare.primary import are_labels
from tasks.metrics.differences import Difference, as_entry, paired_differences
from tasks.metrics.names import HIGHER_IS_BETTER
from tasks.metrics.params import VerdictParams
from tasks.metrics.verdicts import marked, p_value, rows_needed, verdict

ALWAYS = ("rouge1_f", "rouge2_f", "rougeL_f", "copied_4grams")
"""Metrics whose differences are computed in addition to ``CompareParams.primary``, unless all rows ask for labels."""

ByMetric = Mapping[str, Difference | None]
"""Metric → difference to the baseline; None if no row has both scores."""


def differences(
    system: System, baseline: System | None, compared: Sequence[System], params: CompareParams
) -> ByMetric | None:
    """Mean paired difference (``system`` minus ``baseline``) of each metric over independent groups of test rows.

    A tuned system also has its differences in the primary metric to the other untuned systems of ``compared``, under
    ``difference_names.against``. None for the baseline itself, and without a baseline.
    """
    if baseline is None or system is baseline:
        return None
    always = () if are_labels(baseline.rows, params.primary) else ALWAYS
    computed = _differences(system, baseline, sorted({params.primary, *always}), params)
    for other in opponents(system, baseline, compared):
        (difference,) = _differences(system, other, [params.primary], params).values()
        computed[against(params.primary, other.name)] = difference
    return computed


def _differences(
    system: System, other: System, metrics: list[str], params: CompareParams
) -> dict[str, Difference | None]:
    gains, groups = row_gains(system.rows, other.rows, metrics)
    return dict(zip(metrics, paired_differences(gains, params, groups), strict=True))


def judged(
    by_system: Sequence[ByMetric | None], params: CompareParams, verdicts: VerdictParams
) -> list[dict[str, dict[str, Any] | None] | None]:
    """Judge all differences of a report together, also those in single tasks (``per_task.task_differences``).

    Returns:
        Per system, metric → the entry of ``comparison.json``: ``value``, ``low``, ``high``, ``rows``, ``groups``,
        ``error``, ``p``, ``verdict``, ``adjusted`` (whether the difference is shown after the adjustment for the number
        of differences) and, if the verdict is "not enough rows", ``rows_needed``. ``verdict`` is None for a metric of
        which more is neither better nor worse.
    """
    known = {
        (number, metric): difference
        for number, by_metric in enumerate(by_system)
        for metric, difference in (by_metric or {}).items()
        if difference is not None
    }
    p_values = {key: p_value(difference, verdicts) for key, difference in known.items()}
    marks = marked(p_values, params.primary, 1 - params.confidence)
    entries = {key: _entry(metric_of(key[1]), one, verdicts) | {"adjusted": key in marks} for key, one in known.items()}
    return [
        None if by_metric is None else {metric: entries.get((number, metric)) for metric in by_metric}
        for number, by_metric in enumerate(by_system)
    ]


def _entry(metric: str, difference: Difference, verdicts: VerdictParams) -> dict[str, Any]:
    margin = verdicts.margin_of(metric)
    outcome = verdict(difference, margin, verdicts) if metric in HIGHER_IS_BETTER else None
    entry = as_entry(difference) | {"verdict": outcome}
    if outcome == "not enough rows":
        entry["rows_needed"] = rows_needed(difference, margin, verdicts)
    return entry
