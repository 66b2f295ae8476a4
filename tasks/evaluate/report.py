"""Scored rows and the two files of a report, the same for models and trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.evaluate.groups import Groups
from tasks.evaluate.metrics import PREDICTIONS, score_rows, settings
from tasks.text.rows import Row

COMPLETION = ("completion", "new_tokens", "finished")
"""Columns of a completion; ``finished``: whether it ended with the end token."""


def scored_rows(rows: list[Row], completions: list[Row]) -> list[Row]:
    """Rows of ``PREDICTIONS``: the completion of each row with its scores.

    ``template`` is added, the text by which ``groups`` tells seen from unseen prompt variants; it is not written.

    Args:
        completions: the columns ``COMPLETION``, one per row.
    """
    kept = ("row_id", "source", "task", "template_id", "template", "prompt", "text", "references")
    scores = score_rows([completion["completion"] for completion in completions], rows)
    return [
        {**{name: row[name] for name in kept}, "metrics": row.get("metrics"), **completion, **scored}
        for row, completion, scored in zip(rows, completions, scores, strict=True)
    ]


def write_report(
    folder: Path,
    experiment: str,
    key: str | None,
    predictions: list[Row],
    metrics: dict[str, dict[str, float | None]],
    groups: Groups,
    generation: Mapping[str, Any],
    model: dict[str, Any] | None = None,
) -> None:
    """Write ``predictions.parquet`` and ``metrics.json``; the same results give the same bytes.

    Args:
        generation: settings with which the completions were generated.
        model: facts that the comparison shows beside the scores; None for a trivial baseline.
    """
    files.write_rows(folder / "predictions.parquet", predictions, PREDICTIONS)
    test = [[p["row_id"], p["template_id"], p["prompt"], p["references"]] for p in predictions]
    files.write_json(
        folder / "metrics.json",
        {
            "schema": 1,
            "experiment": experiment,
            "key": key,
            "test_sha256": files.digest(test),
            "rows": len(predictions),
            "metrics": metrics,
            "groups": groups,
            "model": model,
            "settings": settings(predictions),
            "generation": generation,
        },
    )
