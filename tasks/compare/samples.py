"""Choose the sample rows of the report: the first rows, and those with the largest gains and losses."""

from __future__ import annotations

import math
from typing import Any

from tasks.compare.collect import System
from tasks.compare.pairing import gains
from tasks.text.rows import Row, RowKey, row_key

IN_ORDER = "in row order"


def choose_samples(
    compared: list[System], baseline: System | None, candidate: System | None, metric: str, count: int
) -> list[dict[str, Any]]:
    """Choose at most ``count`` rows: half in row order, then the largest gains and the largest losses.

    Gains and losses are differences in ``metric`` between the candidate (else the first other experiment) and the
    baseline. If there are too few of them, further rows in row order fill up.

    Returns:
        One entry per row: source, row_id, template_id, row (1 is the first), why, text, references, answers (of each
        system in the order of ``compared``: name, completion, finished, rouge1_f).
    """
    first = baseline or compared[0]
    contrast = candidate or next((s for s in compared if s.kind == "experiment" and s is not baseline), None)
    order = {row_key(row): row for row in first.rows}
    reasons = dict.fromkeys(list(order)[: math.ceil(count / 2)], IN_ORDER)
    if baseline is not None and contrast is not None and contrast is not baseline:
        reasons |= _extremes(gains(contrast.rows, baseline.rows, metric), set(reasons), count, contrast, baseline)
    for k in order:
        if len(reasons) < count:
            reasons.setdefault(k, IN_ORDER)
    predictions = [(system.name, {row_key(row): row for row in system.rows}) for system in compared]
    positions = {k: position for position, k in enumerate(order, start=1)}
    return [
        _sample(k, positions[k], reasons[k], order[k], [(name, rows[k]) for name, rows in predictions if k in rows])
        for k in sorted(reasons, key=lambda k: reasons[k] != IN_ORDER)
    ]


def _extremes(
    change: dict[RowKey, float], taken: set[RowKey], count: int, ours: System, theirs: System
) -> dict[RowKey, str]:
    """The largest gains, then the largest losses, as many as ``count`` has room for besides ``taken``."""
    left = count - len(taken)
    rest = sorted((k for k in change if k not in taken), key=lambda k: -change[k])
    best = [k for k in rest if change[k] > 0][: math.ceil(left / 2)]
    worst = [k for k in reversed(rest) if change[k] < 0][: left - len(best)]
    gain, loss = f"largest gain of {ours.name} over {theirs.name}", f"largest loss of {ours.name} against {theirs.name}"
    return dict.fromkeys(best, gain) | dict.fromkeys(worst, loss)


def _sample(k: RowKey, position: int, why: str, row: Row, predictions: list[tuple[str, Row]]) -> dict[str, Any]:
    return {
        "source": k[0],
        "row_id": k[1],
        "template_id": k[2],
        "row": position,
        "why": why,
        "text": row.get("text") or row["prompt"],
        "references": list(row["references"]),
        "answers": [
            {
                "name": name,
                "completion": prediction["completion"],
                "finished": prediction.get("finished"),
                "rouge1_f": _finite(prediction.get("rouge1_f")),
            }
            for name, prediction in predictions
        ],
    }


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None
