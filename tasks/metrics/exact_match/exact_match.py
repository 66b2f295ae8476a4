"""Equality of texts."""

from __future__ import annotations

from tasks.metrics import base


class ExactMatch(base.RowMetric):
    """1 where the text is, but for surrounding space, one of the references, else 0."""

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        pairs = zip(predictions, references, strict=True)
        return {"exact_match": [float(said.strip() in {text.strip() for text in texts}) for said, texts in pairs]}
