"""Scores, differences to the baseline, and validation loss of each source and task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.compare.collect import System
from tasks.compare.difference_names import in_task
from tasks.compare.pairing import row_gains
from tasks.compare.params import CompareParams
from tasks.metrics.differences import Difference, paired_differences
from tasks.metrics.names import ROW_SCORES
from tasks.text.rows import Row, by_task


def task_metrics(compared: Sequence[System], primary: str) -> dict[str, str]:
    """``SOURCE/TASK`` of test and validation rows → the metric by which it is compared; empty for one task.

    This is ``primary`` if the task's templates name it, else the first score of its rows that they name.
    """
    test = by_task(compared[0].rows)
    validation = {task for system in compared for task in system.groups.get("validation", {})}
    if max(len(test), len(validation)) < 2:
        return {}
    return {task: _metric(test.get(task, []), primary) for task in sorted(test.keys() | validation)}


def _metric(rows: list[Row], primary: str) -> str:
    named = dict.fromkeys(name for row in rows for name in row.get("metrics") or ())
    columns = [ROW_SCORES[name] for name in named if name in ROW_SCORES]
    is_rouge = primary.startswith("rouge") and "rouge" in named
    known = [name for name in columns if any(row.get(name) is not None for row in rows)]
    return primary if is_rouge or primary in known or not known else known[0]


def task_differences(
    system: System, baseline: System | None, metrics: Mapping[str, str], params: CompareParams
) -> dict[str, Difference | None]:
    """Mean paired difference (``system`` minus ``baseline``) in each task, by ``in_task``.

    Empty for the baseline itself, and without a baseline.
    """
    if baseline is None or system is baseline:
        return {}
    ours, theirs = by_task(system.rows), by_task(baseline.rows)
    differences = {}
    for task, metric in metrics.items():
        gains, groups = row_gains(ours.get(task, []), theirs.get(task, []), [metric])
        (differences[in_task(metric, task)],) = paired_differences(gains, params, groups)
    return differences


def per_task(system: System, metrics: Mapping[str, str], entries: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Describe ``system`` in each task.

    Args:
        metrics: of ``task_metrics``.
        entries: the system's differences as ``judged`` describes them, with those of ``task_differences``.

    Returns:
        Per task: ``task``, ``rows`` (test rows, whatever the number of prompt variants), ``metric``, ``score``
        (``value``, ``low``, ``high``), ``difference`` (of ``judged``) and ``validation_loss_per_byte``. The last three
        are None where they are not known.
    """
    rows = {task: {(row["source"], row["row_id"]) for row in members} for task, members in by_task(system.rows).items()}
    scores, losses = system.groups.get("task", {}), system.groups.get("validation", {})
    return [
        {
            "task": task,
            "rows": len(rows.get(task, ())),
            "metric": metric,
            "score": _interval(scores.get(task, {}).get(metric)),
            "difference": (entries or {}).get(in_task(metric, task)),
            "validation_loss_per_byte": _finite(losses.get(task, {}).get("loss_per_byte", {}).get("value")),
        }
        for task, metric in metrics.items()
    ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _interval(score: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if score is None else {name: score.get(name) for name in ("value", "low", "high")}
