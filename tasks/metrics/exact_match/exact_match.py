"""Equality of texts."""

from __future__ import annotations

from tasks.metrics import base


class ExactMatch(base.RowMetric):
    """1 if the prediction equals a reference, without surrounding space; else 0."""

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        pairs = zip(predictions, references, strict=True)
        return {"exact_match": [float(output.strip() in {text.strip() for text in texts}) for output, texts in pairs]}
