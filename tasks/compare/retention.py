"""Kept, lost or gained: how tuned models do on tasks that they were not tuned on, beside the baseline."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.compare.collect import System
from tasks.compare.pairing import gains, key
from tasks.compare.params import CompareParams
from tasks.rows import Row
from tasks.statistics import paired_bootstrap

LOSS = "loss_per_byte"
"""Judges general text, and what has no score of each row; lower is better."""

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
"""Metric of a template → the score of each row by which its task is judged."""

_ROUNDING = 1e-12


def retention(system: System, baseline: System, params: CompareParams) -> dict[str, dict[str, Any]]:
    """``SOURCE/TASK`` → ``metric``, ``before`` and ``after`` (means), ``difference`` (``value``, ``low``, ``high``,
    ``rows``; paired), ``verdict`` and ``examples`` of rows that lost most.

    ``lost``: the interval of the difference lies wholly on the worse side of zero; ``gained``: on the better;
    ``kept``: neither. Few rows have wide intervals, and keep much: the interval says how much may be lost.
    """
    ours, theirs = _by_task(system.retention), _by_task(baseline.retention)
    found = {}
    for task in sorted(ours.keys() & theirs.keys()):
        judged = _judge(ours[task], theirs[task], params)
        if judged:
            found[task] = judged
    return found


def _by_task(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row['source']}/{row['task']}", []).append(row)
    return found


def _judge(ours: list[Row], theirs: list[Row], params: CompareParams) -> dict[str, Any] | None:
    metric = _metric(theirs)
    paired = gains(ours, theirs, metric)
    if not paired:
        return None
    # Wordings of one row are no independent draws: they would make the interval too narrow.
    by_row: dict[tuple[str, str], list[float]] = {}
    for (source, row_id, _), gain in paired.items():
        by_row.setdefault((source, row_id), []).append(gain)
    differences = np.array([np.mean(values) for values in by_row.values()])
    value, low, high = paired_bootstrap(differences, params.resamples, params.confidence, params.seed)
    better = -1 if metric == LOSS else 1
    worst, best = sorted((better * low, better * high))
    real = len(differences) > 1
    verdict = "lost" if real and best < -_ROUNDING else "gained" if real and worst > _ROUNDING else "kept"
    shared = [(row, other) for row, other in _pairs(ours, theirs) if key(row) in paired]
    return {
        "metric": metric,
        "before": float(np.mean([other[metric] for _, other in shared])),
        "after": float(np.mean([row[metric] for row, _ in shared])),
        "difference": {"value": value, "low": low, "high": high, "rows": len(differences)},
        "verdict": verdict,
        "examples": _examples(shared, metric, better, params.lost_examples),
    }


def _metric(rows: list[Row]) -> str:
    """The first that the templates of the task name and that each row has by itself."""
    names = [name for row in rows for name in row["metrics"] or ()]
    return next((COLUMN[name] for name in names if name in COLUMN), LOSS)


def _pairs(ours: list[Row], theirs: list[Row]) -> list[tuple[Row, Row]]:
    known = {key(row): row for row in ours}
    return [(known[key(row)], row) for row in theirs if key(row) in known]


def _examples(pairs: list[tuple[Row, Row]], metric: str, better: int, count: int) -> list[dict[str, Any]]:
    drops = [(better * (row[metric] - other[metric]), place) for place, (row, other) in enumerate(pairs)]
    chosen = [place for drop, place in sorted(drops) if drop < -_ROUNDING][:count]
    return [
        {
            "row_id": pairs[place][0]["row_id"],
            "prompt": pairs[place][0]["prompt"],
            "reference": (pairs[place][0]["references"] or [""])[0],
            "before": pairs[place][1]["completion"],
            "after": pairs[place][0]["completion"],
            "scores": [pairs[place][1][metric], pairs[place][0][metric]],
        }
        for place in chosen
    ]
