"""ROUGE-1, 2, L and Lsum."""

from __future__ import annotations

import re

from rouge_score_rs import RougeScorer

from tasks.metrics import base

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Rouge(base.RowMetric):
    """Recall-oriented overlap of words (Lin 2004), with stemmer, as ``rouge_score`` computes it: ``KIND_precision``,
    ``KIND_recall`` and ``KIND_f`` in 0..1. Of several references, for each kind, the one with the best F1 counts.

    ROUGE-Lsum compares sentence by sentence; sentences end at ``.``, ``!``, ``?`` or a line's end.
    """

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        scorer = RougeScorer(list(KINDS), use_stemmer=True)
        found: base.RowScores = {f"{kind}_{part}": [] for kind in KINDS for part in ("precision", "recall", "f")}
        for said, texts in zip(predictions, references, strict=True):
            candidate = by_sentence(said)
            scores = [scorer.score(by_sentence(text), candidate) for text in texts]
            for kind in KINDS:
                best = max((score[kind] for score in scores), key=lambda score: score.fmeasure)
                found[f"{kind}_precision"].append(best.precision)
                found[f"{kind}_recall"].append(best.recall)
                found[f"{kind}_f"].append(best.fmeasure)
        return found


def by_sentence(text: str) -> str:
    """A sentence a line: ``rouge_score`` tells sentences by line ends."""
    return "\n".join(_SENTENCE_END.split(text.strip()))
