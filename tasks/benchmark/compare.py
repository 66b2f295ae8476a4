"""Benchmarks of one model beside those of another: paired by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.benchmark.measures import AGGREGATES, units
from tasks.evaluate.params import IntervalParams
from tasks.statistics import paired_bootstrap, statistic_interval

Row = dict[str, Any]
Result = tuple[Row, list[Row]]


def differences(base: Result, tuned: Result, params: IntervalParams) -> dict[tuple[str, str, str], Row]:
    """(suite, task, metric) → ``value`` (tuned minus base), ``low``, ``high``, ``n`` and ``real`` (the interval leaves
    out 0), of the tasks that both have done on the same rows with the same prompts' rows.

    Both asked other rows (another size, seed or file): there is no entry.
    """
    mine, theirs = _by_task(tuned[1]), _by_task(base[1])
    found = {}
    for (suite, task), rows in mine.items():
        others = theirs.get((suite, task))
        metrics = tuned[0]["suites"].get(suite, {}).get("tasks", {}).get(task, {}).get("metrics", {})
        if others is None or [r["doc_hash"] for r in rows] != [r["doc_hash"] for r in others]:
            continue
        for metric, about in metrics.items():
            ours, base_items = ([row["values"][metric] for row in side] for side in (rows, others))
            found[suite, task, metric] = _difference(ours, base_items, about["measure"], params)
    return found


def _difference(ours: list[Any], theirs: list[Any], measure: str, params: IntervalParams) -> Row:
    mine, how = units(ours, measure)
    others, _ = units(theirs, measure)
    settings = (params.resamples, params.confidence, params.seed)
    if how == "mean":
        value, low, high = paired_bootstrap(np.subtract(mine, others), *settings)
    else:
        aggregate, pairs = AGGREGATES[how], np.hstack([mine, others])
        value, low, high = statistic_interval(pairs, lambda p: aggregate(p[:, :2]) - aggregate(p[:, 2:]), *settings)
    return {"value": value, "low": low, "high": high, "n": len(mine), "real": low > 0 or high < 0}


def _by_task(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["suite"], row["task"]), []).append(row)
    return {key: sorted(mine, key=lambda row: row["doc_id"]) for key, mine in found.items()}
