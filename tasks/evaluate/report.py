"""Scored rows and the two files of a report, the same for models and trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.evaluate.groups import Groups
from tasks.evaluate.metrics import PREDICTIONS, not_scored, score_rows, settings
from tasks.metrics.scoring import Scorings, language_of, metrics_of
from tasks.text.rows import CONVERSATION, Row, RowKey, row_key

COMPLETION = ("completion", "new_tokens", "finished")
"""Columns of a completion; ``finished``: whether it ended with the end token."""


def scored_rows(
    rows: list[Row], completions: list[Row], scorings: Scorings, dirty: Mapping[RowKey, bool] | None = None
) -> list[Row]:
    """Rows of ``PREDICTIONS``: the completion of each row with its scores.

    Two more columns are for computing only and are not written: ``template``, the text by which ``groups`` tells seen
    from unseen prompt variants, and ``language`` of the source.

    Args:
        rows: columns ``RENDERED``.
        completions: the columns ``COMPLETION``, one per row.
        scorings: metrics and language of each source of ``rows``.
        dirty: row → whether it counts as seen in training; for rows that are not in it, this is not known.
    """
    kept = ("row_id", "source", "task", "template_id", "template", "prompt", "text", "references")
    marked = dirty or {}
    named = [row | {"metrics": metrics_of(row, scorings), "language": language_of(row, scorings)} for row in rows]
    scores = score_rows([completion["completion"] for completion in completions], named)
    return [
        {
            **{name: row[name] for name in kept},
            **{name: row.get(name) for name in ("group", *CONVERSATION)},
            **{name: row[name] for name in ("metrics", "language")},
            **completion,
            "dirty": marked.get(row_key(row)),
            **scored,
        }
        for row, completion, scored in zip(named, completions, scores, strict=True)
    ]


def rows_digest(rows: list[Row]) -> str:
    """Digest of the test rows: what each asks for and accepts, and not how it is scored."""
    names = ("row_id", "template_id", "prompt", "references")
    # The prompt of a conversation lacks its tools and reasoning.
    return files.digest(
        [[*(row[name] for name in names), *(row[name] for name in CONVERSATION if row.get("messages"))] for row in rows]
    )


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

    In ``metrics.json``, ``settings`` has the signatures of the metrics, and ``not_scored`` the number of rows whose
    references leave a metric no token.

    Args:
        generation: settings with which the completions were generated.
        model: facts that the comparison shows beside the scores; None for a trivial baseline.
    """
    files.write_rows(folder / "predictions.parquet", predictions, PREDICTIONS)
    files.write_json(
        folder / "metrics.json",
        {
            "schema": 1,
            "experiment": experiment,
            "key": key,
            "test_sha256": rows_digest(predictions),
            "rows": len(predictions),
            "metrics": metrics,
            "groups": groups,
            "model": model,
            "settings": settings(predictions),
            "not_scored": not_scored(predictions),
            "generation": generation,
        },
    )
