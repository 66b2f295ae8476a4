"""Judge what tuning kept, lost or gained: scores on the retention tasks, compared with the baseline."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.compare.collect import System
from tasks.compare.pairing import Pair, group_of, pairs
from tasks.compare.params import CompareParams
from tasks.metrics.differences import Difference, as_entry, gain, paired_difference, statistic_difference
from tasks.metrics.names import OF_EVERY_ROW, ROW_SCORES
from tasks.metrics.params import VerdictParams
from tasks.metrics.statistics import ROUNDING
from tasks.metrics.text import entity_counts, entity_score
from tasks.metrics.verdicts import Kept, retained_entries
from tasks.text.rows import Row, by_task, row_key

LOSS = "loss_per_byte"
"""Metric of general text, and of tasks without a score per row; lower is better."""

COLUMN = ROW_SCORES | {"loss": LOSS}
"""Metric that a template names → the score column by which its task is judged."""

_SPANS = {LOSS: 0.0, "bleu": 100.0, "chrf": 100.0}
"""Score column → the most that one row can lose, if that is not 1; 0 if it has no limit."""


def retention(
    system: System, baseline: System, params: CompareParams, verdicts: VerdictParams
) -> dict[str, dict[str, Any]]:
    """Judge ``system`` against ``baseline`` on all retention tasks together.

    Verdicts are those of ``tasks.metrics.verdicts.retained``: ``kept`` if the loss is shown to be smaller than the
    margin of the score, ``lost``, ``gained``, or ``undecided``; ``not judged`` if no row has predictions of both. If
    both systems score 0, their loss decides. Entities are judged by the F1 of all rows together, other tasks by the
    mean score of their rows.

    Returns:
        ``SOURCE/TASK`` → ``metric``, ``before``, ``after``, ``difference`` (paired: ``value``, ``low``, ``high``,
        ``rows``, ``groups``, ``error``, ``p``), number of ``unpaired`` rows, ``trained`` (whether the system was
        trained on that source), ``verdict``, ``rows_needed`` if it is ``undecided``, and ``examples`` of rows that
        lost most.
    """
    ours, theirs = by_task(system.retention), by_task(baseline.retention)
    trained = system.model.get("trained_on") or ()
    entries, tasks = {}, {}
    for task in sorted(ours.keys() | theirs.keys()):
        entry, difference = _measured(ours.get(task, []), theirs.get(task, []), params)
        entries[task] = entry | {"trained": task.rpartition("/")[0] in trained}
        if difference is not None:
            metric = entry["metric"]
            gained = difference.negated() if metric == LOSS else difference
            tasks[task] = Kept(gained, verdicts.margin_of(metric), _SPANS.get(metric, 1.0))
    judged = retained_entries(tasks, params.confidence, verdicts)
    return {task: entry | judged.get(task, {}) for task, entry in entries.items()}


def _measured(ours: list[Row], theirs: list[Row], params: CompareParams) -> tuple[dict[str, Any], Difference | None]:
    """The entry of a task without its verdict, and its difference; None if no row has predictions of both."""
    both = pairs(ours, theirs)
    unpaired = len(ours) + len(theirs) - 2 * len(both)
    metric = _metric([*ours, *theirs])
    if metric in (*OF_EVERY_ROW, LOSS):  # null where references have no word; not finite if a training diverged
        both = [pair for pair in both if all(_known(row, metric) for row in pair)]
    if not both:
        return {"metric": metric, "verdict": "not judged", "unpaired": unpaired, "examples": []}, None
    before, after, difference = _difference(both, metric, params)
    losses = all(_known(row, LOSS) for pair in both for row in pair)
    if losses and metric != LOSS and before == after == 0:
        # Both score 0, so this score cannot show a loss.
        metric = LOSS
        before, after, difference = _difference(both, metric, params)
    entry = {
        "metric": metric,
        "before": before,
        "after": after,
        "difference": as_entry(difference),
        "unpaired": unpaired,
        "examples": _examples(both, metric, -1 if metric == LOSS else 1, params.lost_examples),
    }
    return entry, difference


def _difference(both: list[Pair], metric: str, params: CompareParams) -> tuple[float, float, Difference]:
    """The scores in ``metric`` before and after tuning, and their difference over independent groups of rows."""
    groups = [group_of(pair) for pair in both]
    if metric == "entity_f1":
        counts = np.array([[entity_counts(one["completion"], one["references"][0]) for one in pair] for pair in both])
        after, before = map(entity_score, counts.sum(axis=0))
        difference = statistic_difference(counts, _entity_difference, params, groups)
    else:
        after, before = np.mean([[row[metric] for row in pair] for pair in both], axis=0).tolist()
        difference = paired_difference([gain(our[metric], their[metric]) for our, their in both], params, groups)
    return before, after, replace(difference, rows=len({row_key(their)[:2] for _, their in both}))


def _entity_difference(counts: np.ndarray) -> float:
    """F1 of our entities minus F1 of theirs; ``counts`` has the shape (pairs, 2, 3)."""
    ours, theirs = counts.sum(axis=0)
    return entity_score(ours) - entity_score(theirs)


def _metric(rows: list[Row]) -> str:
    """The first metric of the task's templates that judges its rows; else the loss.

    Every row must have its score. ROUGE and BLEU may lack those whose references have no word.
    """
    names = dict.fromkeys(name for row in rows for name in row["metrics"] or ())
    columns = [COLUMN[name] for name in names if name in COLUMN]
    for column in columns:
        enough = any if column in OF_EVERY_ROW else all
        if enough(_known(row, column) for row in rows):
            return column
    return LOSS


def _known(row: Row, column: str) -> bool:
    value = row.get(column)
    return value is not None and math.isfinite(value)


def _examples(both: list[Pair], metric: str, better: int, count: int) -> list[dict[str, Any]]:
    drops = [(better * (row[metric] - other[metric]), index) for index, (row, other) in enumerate(both)]
    chosen = [index for drop, index in sorted(drops) if drop < -ROUNDING][:count]
    return [
        {
            "row_id": both[index][0]["row_id"],
            "prompt": both[index][0]["prompt"],
            "reference": (both[index][0]["references"] or [""])[0],
            "before": both[index][1]["completion"],
            "after": both[index][0]["completion"],
            "scores": [both[index][1][metric], both[index][0][metric]],
        }
        for index in chosen
    ]
