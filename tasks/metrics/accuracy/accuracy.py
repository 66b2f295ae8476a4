"""Accuracy of labels."""

from __future__ import annotations

from tasks.metrics import base
from tasks.metrics.text import answer


class Accuracy(base.RowMetric):
    """1 if the prediction equals a reference, else 0.

    Case, encoding, surrounding space and quotes, and the punctuation that ends a sentence do not count
    (``tasks.metrics.text.answer``).
    """

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        pairs = zip(predictions, references, strict=True)
        return {"accuracy": [float(answer(output) in {answer(text) for text in texts}) for output, texts in pairs]}
