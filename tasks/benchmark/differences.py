"""Benchmark results of two models, paired by row: kept, lost or gained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tasks.benchmark.aggregates import AGGREGATES, percentiles, units
from tasks.benchmark.harness.suites import SuiteDefinition, TaskDefinition, load_suite, task_definition
from tasks.benchmark.scores import average_draws, averaged
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import paired_bootstrap, statistic_interval, verdict
from tasks.text.rows import Row

Result = tuple[Row, list[Row]]


def differences(base: Result, tuned: Result, params: IntervalParams) -> dict[tuple[str, str, str], Row]:
    """(suite, task, metric) → ``value`` (tuned minus base), ``low``, ``high``, ``n`` and ``verdict`` (``lost`` or
    ``gained`` where the interval leaves out 0, else ``kept``), of the tasks that both did on the same rows.

    A task whose rows differ (another size, seed or file) has no entry.
    """
    by_metric = {}
    for (suite, task), (others, rows) in on_same_rows(base, tuned).items():
        for metric, about in tuned[0]["suites"][suite]["tasks"][task]["metrics"].items():
            ours, base_items = ([row["values"][metric] for row in side] for side in (rows, others))
            by_metric[suite, task, metric] = _difference(ours, base_items, about["measure"], params)
    return by_metric


def on_same_rows(base: Result, tuned: Result) -> dict[tuple[str, str], tuple[list[Row], list[Row]]]:
    """(suite, task) → rows of both, in the same order."""
    mine, theirs = _by_task(tuned[1]), _by_task(base[1])
    both = {key: (theirs[key], rows) for key, rows in mine.items() if key in theirs}
    return {key: pair for key, pair in both.items() if len({tuple(r["doc_hash"] for r in side) for side in pair}) == 1}


def _difference(ours: list[Any], theirs: list[Any], measure: str, params: IntervalParams) -> Row:
    mine, how = units(ours, measure)
    others, _ = units(theirs, measure)
    settings = (params.resamples, params.confidence, params.seed)
    if how == "mean":
        value, low, high = paired_bootstrap(np.subtract(mine, others), *settings)
    else:
        aggregate, pairs = AGGREGATES[how], np.hstack([mine, others])
        value, low, high = statistic_interval(pairs, lambda p: aggregate(p[:, :2]) - aggregate(p[:, 2:]), *settings)
    return {"value": value, "low": low, "high": high, "n": len(mine), "verdict": verdict(low, high)}


def average_differences(base: Result, tuned: Result, params: IntervalParams) -> dict[tuple[str, str], Row]:
    """(suite, ``overall`` or group) → ``value``, ``low``, ``high``, ``verdict`` and ``tasks``, over the tasks that both
    have done on the same rows."""
    shared = on_same_rows(base, tuned)
    by_average = {}
    for name in sorted({suite for suite, _ in shared}):
        suite, about = load_suite(name), tuned[0]["suites"][name]["tasks"]
        defined = {task: _definition(task, suite, about[task]) for of, task in sorted(shared) if of == name}
        before, after = (
            averaged(suite, {task: (one, shared[name, task][side]) for task, one in defined.items()}) for side in (0, 1)
        )
        for group, mine in after.items():
            old, drawn = average_draws(suite, before[group], params)
            new, others = average_draws(suite, mine, params)
            low, high = percentiles(others - drawn, params)
            change = {"value": new - old, "low": low, "high": high, "verdict": verdict(low, high)}
            by_average[name, group] = {**change, "tasks": len(mine)}
    return by_average


def _definition(name: str, suite: SuiteDefinition, about: Row) -> TaskDefinition:
    """The definition of a task of ``suite``, or of a BIG-bench task that a file defines."""
    if name in suite.tasks:
        return suite.tasks[name]
    metrics = {metric: entry["measure"] for metric, entry in about["metrics"].items()}
    kind = next(iter(suite.task_json.values()))
    given = {"shots": 0, **kind, "metrics": metrics}
    return task_definition(given, name, suite.name, about["group"], Path("task.json"))


def lost_rows(base: Result, tuned: Result, count: int) -> dict[tuple[str, str], list[tuple[Row, Row]]]:
    """(suite, task) → at most ``count`` pairs (before, after) of rows whose score fell, the largest drops first."""
    fallen = {}
    for key, sides in on_same_rows(base, tuned).items():
        pairs = [pair for pair in zip(*sides, strict=True) if None not in (pair[0]["score"], pair[1]["score"])]
        fell = [pair for pair in pairs if pair[1]["score"] < pair[0]["score"]]
        fallen[key] = sorted(fell, key=lambda pair: pair[1]["score"] - pair[0]["score"])[:count]
    return fallen


def _by_task(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row["suite"], row["task"]), []).append(row)
    return {key: sorted(mine, key=lambda row: row["doc_id"]) for key, mine in grouped.items()}
