"""Benchmark results of two models, paired by row: gained, kept, lost or undecided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tasks.benchmark.aggregates import AGGREGATES, SPANS, units
from tasks.benchmark.averages import Done, average_draws, averaged, weights_of
from tasks.benchmark.harness.suites import SuiteDefinition, TaskDefinition, load_suite, task_definition
from tasks.metrics.differences import Difference, as_entry, drawn_difference, paired_difference, statistic_difference
from tasks.metrics.groups import Grouped, grouped
from tasks.metrics.params import IntervalParams, VerdictParams
from tasks.metrics.verdicts import Kept, retained_entries
from tasks.text.rows import Row

Result = tuple[Row, list[Row]]

K = TypeVar("K")


def differences(
    base: Result, tuned: Result, params: IntervalParams, verdicts: VerdictParams
) -> dict[tuple[str, str, str], Row]:
    """(suite, task, metric) → entry of ``_entries`` (tuned minus base), for tasks that both ran on the same rows.

    The tasks of a suite are judged together. A task whose rows differ (another size, seed or file) has no entry.
    """
    by_metric = {}
    for (suite, task), (others, rows) in on_same_rows(base, tuned).items():
        for metric, about in tuned[0]["suites"][suite]["tasks"][task]["metrics"].items():
            ours, base_items = ([row["values"][metric] for row in side] for side in (rows, others))
            groups = [row["group"] for row in rows]
            difference = _difference(ours, base_items, about["measure"], params, groups)
            by_metric[suite, task, metric] = Kept(
                difference, verdicts.margin_of(metric), SPANS.get(about["measure"], 1.0)
            )
    entries: dict[tuple[str, str, str], Row] = {}
    for suite in dict.fromkeys(key[0] for key in by_metric):
        family = {key: one for key, one in by_metric.items() if key[0] == suite}
        entries |= _entries(family, params.confidence, verdicts)
    return entries


def _entries(family: Mapping[K, Kept], confidence: float, verdicts: VerdictParams) -> dict[K, Row]:
    """Key → ``as_entry`` of its difference, ``verdict`` and, if that is ``undecided``, ``rows_needed``."""
    judged = retained_entries(family, confidence, verdicts)
    return {key: as_entry(one.difference) | judged[key] for key, one in family.items()}


def on_same_rows(base: Result, tuned: Result) -> dict[tuple[str, str], tuple[list[Row], list[Row]]]:
    """(suite, task) → rows of both, in the same order and with the same ``group``."""
    mine, theirs = _by_task(tuned[1]), _by_task(base[1])
    both = {key: (theirs[key], rows) for key, rows in mine.items() if key in theirs}
    same = {key: pair for key, pair in both.items() if len({tuple(r["doc_hash"] for r in side) for side in pair}) == 1}
    return {key: _with_groups(*pair) for key, pair in same.items()}


def _with_groups(theirs: list[Row], ours: list[Row]) -> tuple[list[Row], list[Row]]:
    """The same rows of two results with the groups that either knows: a result of an earlier version has none."""
    groups = [a.get("group") if b.get("group") is None else b["group"] for a, b in zip(theirs, ours, strict=True)]
    first, second = ([row | {"group": g} for row, g in zip(side, groups, strict=True)] for side in (theirs, ours))
    return first, second


def _difference(
    ours: list[Any], theirs: list[Any], measure: str, params: IntervalParams, groups: list[str | None]
) -> Difference:
    mine, others = units(ours, measure, groups), units(theirs, measure, groups)
    if mine.measure == "mean":
        difference = paired_difference(np.subtract(mine.items, others.items), params, mine.groups)
    else:
        aggregate, pairs = AGGREGATES[mine.measure], np.hstack([mine.items, others.items])
        between = lambda p: aggregate(p[:, :2]) - aggregate(p[:, 2:])
        difference = statistic_difference(pairs, between, params, mine.groups)
    return replace(difference, rows=len(ours))


def average_differences(
    base: Result, tuned: Result, params: IntervalParams, verdicts: VerdictParams
) -> dict[tuple[str, str], Row]:
    """(suite, ``overall`` or group) → entry of ``_entries`` and ``tasks``, over the tasks that both ran.

    An average pools the paired differences of all rows of its tasks, each task with its weight in the suite. Single
    tasks often have too few rows for a verdict. The groups of a suite are judged together, and ``overall`` by itself.
    """
    shared = on_same_rows(base, tuned)
    by_average: dict[tuple[str, str], Row] = {}
    for name in sorted({suite for suite, _ in shared}):
        suite, about = load_suite(name), tuned[0]["suites"][name]["tasks"]
        defined = {task: _definition(task, suite, about[task]) for of, task in sorted(shared) if of == name}
        before, after = (
            averaged(suite, {task: (one, shared[name, task][side]) for task, one in defined.items()}) for side in (0, 1)
        )
        apart = {group: _average_difference(suite, before[group], mine, params) for group, mine in after.items()}
        for overall in (True, False):
            family = {
                (name, group): Kept(one, verdicts.margin)
                for group, one in apart.items()
                if (group == "overall") == overall
            }
            for key, entry in _entries(family, params.confidence, verdicts).items():
                by_average[key] = entry | {"tasks": len(after[key[1]])}
    return by_average


def _average_difference(suite: SuiteDefinition, before: Done, after: Done, params: IntervalParams) -> Difference:
    (old, drawn), (new, others) = (average_draws(suite, side, params) for side in (before, after))
    independent, weights = {name: _independent(*one) for name, one in after.items()}, weights_of(suite, after)
    groups, rows = sum(one.count for one in independent.values()), sum(len(rows) for _, rows in after.values())
    if groups < 2:
        return Difference(new - old, new - old, new - old, rows, groups, 0.0, 1.0)
    # A group of a small task weighs more than one of a large task, if the average is over tasks.
    heaviest = groups * max(weights[name] * one.heaviest / one.count for name, one in independent.items())
    return replace(drawn_difference(new - old, others - drawn, rows, groups, params.confidence), heaviest=heaviest)


def _independent(task: TaskDefinition, rows: list[Row]) -> Grouped:
    """Independent groups of a task's rows, for the metric that has the fewest; rows of one question are in one."""
    groups = [row["group"] for row in rows]
    drawn = (units([row["values"][name] for row in rows], measure, groups) for name, measure in task.metrics.items())
    return min((grouped(np.ones(len(one.groups)), one.groups) for one in drawn), key=lambda one: one.count)


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
