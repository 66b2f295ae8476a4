"""F1 over words."""

from __future__ import annotations

from collections import Counter

from tasks.metrics import base
from tasks.metrics.text import squad


class TokenF1(base.RowMetric):
    """F1 of the words that text and reference share, however ordered, without articles and punctuation (SQuAD 1.1,
    Rajpurkar et al. 2016, section 6.1); the best of several references. Two texts without a word are equal."""

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        pairs = zip(predictions, references, strict=True)
        return {"token_f1": [max(f1(said, text) for text in texts) for said, texts in pairs]}


def f1(said: str, reference: str) -> float:
    ours, theirs = squad(said).split(), squad(reference).split()
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))
