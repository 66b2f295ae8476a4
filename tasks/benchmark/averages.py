"""Averages of a suite over its tasks, with intervals."""

from __future__ import annotations

import numpy as np

from tasks.benchmark.aggregates import AGGREGATES, draws
from tasks.benchmark.harness.suites import SuiteDefinition, TaskDefinition
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import percentiles
from tasks.text.rows import Row

Done = dict[str, tuple[TaskDefinition, list[Row]]]


def averages(suite: SuiteDefinition, done: Done, params: IntervalParams) -> Row:
    """``overall`` and each group of ``suite`` → its average over the tasks in ``done``, with an interval.

    An average over tasks averages the tasks of each unit first. A task counts with the mean of its metrics.

    Args:
        done: task → (definition, rows of ``SAMPLES``).

    Returns:
        ``value``, ``low``, ``high``, ``over`` (``tasks`` or ``rows``), and the numbers of averaged tasks (``tasks``)
        and of all tasks (``of``).
    """
    by_group = {}
    for name, mine in averaged(suite, done).items():
        point, drawn = average_draws(suite, mine, params)
        low, high = percentiles(drawn, params.confidence)
        known = {task.name for task in suite.tasks.values() if name in ("overall", task.group)} | set(mine)
        about = {"over": suite.average, "tasks": len(mine), "of": len(known)}
        by_group[name] = {"value": point, "low": low, "high": high, **about}
    return by_group


def averaged(suite: SuiteDefinition, done: Done) -> dict[str, Done]:
    """Average of ``suite`` → the tasks of ``done`` that it is over. Averages over nothing are left out."""
    groups = {task.group for task in suite.tasks.values()} | {task.group for task, _ in done.values()}
    wanted = [*sorted(filter(None, groups)), *(["overall"] if suite.overall else [])]
    of = {w: {name: one for name, one in sorted(done.items()) if w in ("overall", one[0].group)} for w in wanted}
    return {name: mine for name, mine in of.items() if mine}


def average_draws(suite: SuiteDefinition, mine: Done, params: IntervalParams) -> tuple[float, np.ndarray]:
    """The average of ``mine``, and of each resample. The same groups are drawn for every model."""
    weights = weights_of(suite, mine)
    point, drawn = 0.0, np.zeros(params.resamples)
    for index, (name, (task, rows)) in enumerate(mine.items()):
        value, draw = _task_draws(task, rows, params, index)
        point, drawn = point + weights[name] * value, drawn + weights[name] * draw
    return point, drawn


def weights_of(suite: SuiteDefinition, mine: Done) -> dict[str, float]:
    """Weight of each task of ``mine`` in the average; they sum to 1."""
    if suite.average == "rows":
        whole = sum(len(rows) for _, rows in mine.values())
        return {name: len(rows) / whole for name, (_, rows) in mine.items()}
    sizes: dict[str, int] = {}
    for task, _ in mine.values():
        sizes[task.unit] = sizes.get(task.unit, 0) + 1
    return {name: 1 / (len(sizes) * sizes[task.unit]) for name, (task, _) in mine.items()}


def _task_draws(task: TaskDefinition, rows: list[Row], params: IntervalParams, index: int) -> tuple[float, np.ndarray]:
    """The mean of a task's metrics, and of each resample. Tasks are resampled independently."""
    seeded = params.model_copy(update={"seed": params.seed + 1 + index})
    groups = [row.get("group") for row in rows]
    values, drawn = [], []
    for metric, measure in task.metrics.items():
        items = [row["values"][metric] for row in rows]
        values.append(AGGREGATES[measure](items))
        drawn.append(draws(items, measure, seeded, groups))
    return float(np.mean(values)), np.mean(drawn, axis=0)
