"""Judge what tuning kept, lost or gained: scores on the retention tasks, compared with the baseline."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tasks.compare.collect import System
from tasks.compare.params import CompareParams
from tasks.metrics.statistics import ROUNDING, statistic_interval, variants_by_row, verdict
from tasks.metrics.text import entity_counts, entity_score
from tasks.text.rows import Row, by_task, row_key

LOSS = "loss_per_byte"
"""Metric of general text, and of tasks without a score per row; lower is better."""

COLUMN = {
    "rouge": "rouge1_f",
    "bleu": "bleu",
    "chrf": "chrf",
    "exact_match": "exact_match",
    "token_f1": "token_f1",
    "accuracy": "accuracy",
    "macro_f1": "accuracy",
    "matthews": "accuracy",
    "entity_f1": "entity_f1",
    "loss": LOSS,
}
"""Metric that a template names → the score column by which its task is judged."""


def retention(system: System, baseline: System, params: CompareParams) -> dict[str, dict[str, Any]]:
    """Judge ``system`` against ``baseline`` on each retention task.

    Verdicts: ``lost`` if the interval of the difference lies wholly on the worse side of zero, ``gained`` if it lies on
    the better side, else ``kept``; ``not judged`` if no row has predictions of both. With few rows the interval is
    wide; it shows how much may be lost. If both systems score 0, their loss decides. Entities are judged by the F1 of
    all rows together, other tasks by the mean score of their rows.

    Returns:
        ``SOURCE/TASK`` → ``metric``, ``before``, ``after``, ``difference`` (paired: ``value``, ``low``, ``high``,
        ``rows``), number of ``unpaired`` rows, ``trained`` (whether the system was trained on that source),
        ``verdict``, and ``examples`` of rows that lost most.
    """
    ours, theirs = by_task(system.retention), by_task(baseline.retention)
    trained = system.model.get("trained_on") or ()
    return {
        task: _judge(ours.get(task, []), theirs.get(task, []), params) | {"trained": task.rpartition("/")[0] in trained}
        for task in sorted(ours.keys() | theirs.keys())
    }


def _judge(ours: list[Row], theirs: list[Row], params: CompareParams) -> dict[str, Any]:
    known = {row_key(row): row for row in ours}
    pairs = [(known[row_key(row)], row) for row in theirs if row_key(row) in known]
    unpaired = len(ours) + len(theirs) - 2 * len(pairs)
    metric = _metric([*ours, *theirs])
    if not pairs:
        return {"metric": metric, "verdict": "not judged", "unpaired": unpaired, "examples": []}
    judged = _difference(pairs, metric, params)
    losses = all(_known(row, LOSS) for pair in pairs for row in pair)
    if losses and metric != LOSS and judged["before"] == judged["after"] == 0:
        # Both score 0, so this score cannot show a loss.
        metric, judged = LOSS, _difference(pairs, LOSS, params)
    better, change = (-1 if metric == LOSS else 1), judged["difference"]
    worst, best = sorted((better * change["low"], better * change["high"]))
    return {
        "metric": metric,
        **judged,
        "unpaired": unpaired,
        "verdict": verdict(worst, best) if change["rows"] > 1 else "kept",
        "examples": _examples(pairs, metric, better, params.lost_examples),
    }


def _difference(pairs: list[tuple[Row, Row]], metric: str, params: CompareParams) -> dict[str, Any]:
    """Compute ``before``, ``after`` and ``difference`` of ``metric``.

    Prompt variants of one row are not independent samples: the bootstrap resamples rows, each with all its variants.
    """
    counts = variants_by_row((row_key(row), _numbers(row, other, metric)) for row, other in pairs)
    drawn = np.array([np.sum(variants, axis=0) for variants in counts])
    score = entity_score if metric == "entity_f1" else _mean
    value, low, high = statistic_interval(
        drawn,
        lambda rows: score(rows[:, 0].sum(axis=0)) - score(rows[:, 1].sum(axis=0)),
        params.resamples,
        params.confidence,
        params.seed,
    )
    return {
        "before": score(drawn[:, 1].sum(axis=0)),
        "after": score(drawn[:, 0].sum(axis=0)),
        "difference": {"value": value, "low": low, "high": high, "rows": len(drawn)},
    }


def _numbers(row: Row, other: Row, metric: str) -> np.ndarray:
    """Numbers of both predictions that are summed over rows: counts of entities, or (score, 0, 1). Shape: 2, 3."""
    if metric == "entity_f1":
        return np.array([entity_counts(one["completion"], one["references"][0]) for one in (row, other)])
    return np.array([(one[metric], 0, 1) for one in (row, other)])


def _mean(sums: np.ndarray) -> float:
    return float(sums[0] / sums[2])


def _metric(rows: list[Row]) -> str:
    """The first metric of the task's templates that every row has a score for; else the loss."""
    names = dict.fromkeys(name for row in rows for name in row["metrics"] or ())
    columns = [COLUMN[name] for name in names if name in COLUMN]
    return next((column for column in columns if all(_known(row, column) for row in rows)), LOSS)


def _known(row: Row, column: str) -> bool:
    value = row.get(column)
    return value is not None and math.isfinite(value)


def _examples(pairs: list[tuple[Row, Row]], metric: str, better: int, count: int) -> list[dict[str, Any]]:
    drops = [(better * (row[metric] - other[metric]), index) for index, (row, other) in enumerate(pairs)]
    chosen = [index for drop, index in sorted(drops) if drop < -ROUNDING][:count]
    return [
        {
            "row_id": pairs[index][0]["row_id"],
            "prompt": pairs[index][0]["prompt"],
            "reference": (pairs[index][0]["references"] or [""])[0],
            "before": pairs[index][1]["completion"],
            "after": pairs[index][0]["completion"],
            "scores": [pairs[index][1][metric], pairs[index][0][metric]],
        }
        for index in chosen
    ]
