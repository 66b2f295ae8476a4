"""The primary metric of a comparison, if ``compare.metric`` does not name one."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.compare.collect import System
from tasks.compare.params import CompareParams
from tasks.metrics.names import ROW_SCORES
from tasks.text.rows import Row

OF_TEXTS = "rouge1_f"

_OF_LABELS = ("accuracy", "exact_match")


def with_primary_metric(params: CompareParams, systems: Sequence[System]) -> CompareParams:
    """``params`` with the metric that it names, else with ``primary_metric`` of the test rows."""
    if params.metric is not None:
        return params
    rows = next((system.rows for system in systems if system.kind == "experiment"), [])
    return params.model_copy(update={"metric": primary_metric(rows)})


def primary_metric(rows: Sequence[Row]) -> str:
    """The score by which the metric decides that the templates of all ``rows`` name first; else ROUGE-1.

    A score counts only if every row has it. So a test set of labels is judged by accuracy, and a mix of labels and
    texts by ROUGE-1.
    """
    for name in dict.fromkeys(name for row in rows for name in row.get("metrics") or ()):
        score = ROW_SCORES.get(name)
        if score == OF_TEXTS or (score is not None and all(row.get(score) is not None for row in rows)):
            return score
    return OF_TEXTS


def are_labels(rows: Sequence[Row], metric: str) -> bool:
    """Whether ``metric`` judges labels and every row asks for one, so that scores of texts say nothing more."""
    return metric in _OF_LABELS and bool(rows) and all(row.get(metric) is not None for row in rows)
