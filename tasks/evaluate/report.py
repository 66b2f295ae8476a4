"""Scored rows and the two files of a report, the same for models and trivial baselines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.evaluate.groups import Groups
from tasks.evaluate.metrics import PREDICTIONS, score_rows, settings
from tasks.evaluate.params import EvaluateParams
from tasks.text.rows import Row


def said(answers: Iterable[Any]) -> list[dict[str, Any]]:
    """What ``score`` is told of answers (``Generated``)."""
    return [{"completion": a.text, "new_tokens": a.new_tokens, "finished": a.finished} for a in answers]


def score(rows: list[Row], answers: list[dict[str, Any]]) -> list[Row]:
    """Rows of ``PREDICTIONS``: what was said for each row, with its scores; and the ``template`` that groups tell it
    by, which is not written."""
    kept = ("row_id", "source", "task", "template_id", "template", "prompt", "text", "references")
    scores = score_rows([what["completion"] for what in answers], rows)
    return [
        {**{name: row[name] for name in kept}, "metrics": row.get("metrics"), **what, **scored}
        for row, what, scored in zip(rows, answers, scores, strict=True)
    ]


def write_report(
    folder: Path,
    experiment: str,
    key: str | None,
    predictions: list[Row],
    metrics: dict[str, dict[str, float | None]],
    groups: Groups,
    params: EvaluateParams,
    model: dict[str, Any] | None = None,
) -> None:
    """Write ``predictions.parquet`` and ``metrics.json``; the same results give the same bytes.

    ``model``: what the comparison says of the model beside its scores; None of a trivial baseline.
    """
    files.write_rows(folder / "predictions.parquet", predictions, PREDICTIONS)
    asked = [[p["row_id"], p["template_id"], p["prompt"], p["references"]] for p in predictions]
    files.write_json(
        folder / "metrics.json",
        {
            "schema": 1,
            "experiment": experiment,
            "key": key,
            "test_sha256": files.digest(asked),
            "rows": len(predictions),
            "metrics": metrics,
            "groups": groups,
            "model": model,
            "settings": settings(predictions),
            "generation": params.generation.model_dump(),
        },
    )
