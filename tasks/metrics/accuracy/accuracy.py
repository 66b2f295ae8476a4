"""Right labels."""

from __future__ import annotations

from tasks.metrics import base
from tasks.metrics.text import answer


class Accuracy(base.RowMetric):
    """1 where the label said is one of the references, without regard to case, surrounding space and quotes, or a final
    full stop; else 0."""

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        pairs = zip(predictions, references, strict=True)
        return {"accuracy": [float(answer(said) in {answer(text) for text in texts}) for said, texts in pairs]}
