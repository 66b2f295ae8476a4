"""F1 over words."""

from __future__ import annotations

from collections import Counter

from tasks.metrics import base
from tasks.metrics.text import squad


class TokenF1(base.RowMetric):
    """F1 of the words that prediction and reference share (SQuAD 1.1, Rajpurkar et al. 2016, section 6.1).

    Order, articles and punctuation do not count. In a script without spaces, each character is a word
    (``tasks.metrics.text.squad``). Of several references the best counts. Two empty texts are equal.
    """

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        pairs = zip(predictions, references, strict=True)
        return {"token_f1": [max(f1(output, text) for text in texts) for output, texts in pairs]}


def f1(output: str, reference: str) -> float:
    predicted, true = squad(output).split(), squad(reference).split()
    if not predicted or not true:
        return float(predicted == true)
    shared = sum((Counter(predicted) & Counter(true)).values())
    return 2 * shared / (len(predicted) + len(true))
