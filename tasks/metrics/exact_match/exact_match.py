"""Equality of texts."""

from __future__ import annotations

from tasks.metrics import base
from tasks.text.words import clean


class ExactMatch(base.RowMetric):
    """1 if the prediction equals a reference, else 0. Case and punctuation count.

    Surrounding space does not, nor how the text is encoded: HTML entities, compatibility forms (NFKC), curly quotes and
    format characters (``tasks.text.words.clean``).
    """

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        pairs = zip(predictions, references, strict=True)
        return {"exact_match": [float(_bare(output) in {_bare(text) for text in texts}) for output, texts in pairs]}


def _bare(text: str) -> str:
    return clean(text).strip()
