"""ROUGE-1, 2, L and Lsum."""

from __future__ import annotations

import re

from rouge_score_rs import RougeScorer

from tasks.metrics import base

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Rouge(base.RowMetric):
    """ROUGE (Lin 2004) with stemmer, as ``rouge_score`` computes it, in 0..1.

    Each of ``KINDS`` has a ``KIND_precision``, a ``KIND_recall`` and a ``KIND_f``. Of several references, the one with
    the best F1 counts for each kind. ROUGE-Lsum compares sentence by sentence; sentences end at ``.``, ``!``, ``?`` or
    the end of a line.
    """

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        scorer = RougeScorer(list(KINDS), use_stemmer=True)
        columns: base.RowScores = {f"{kind}_{part}": [] for kind in KINDS for part in ("precision", "recall", "f")}
        for output, texts in zip(predictions, references, strict=True):
            candidate = by_sentence(output)
            scores = [scorer.score(by_sentence(text), candidate) for text in texts]
            for kind in KINDS:
                best = max((score[kind] for score in scores), key=lambda score: score.fmeasure)
                columns[f"{kind}_precision"].append(best.precision)
                columns[f"{kind}_recall"].append(best.recall)
                columns[f"{kind}_f"].append(best.fmeasure)
        return columns


def by_sentence(text: str) -> str:
    """One sentence per line: ``rouge_score`` separates sentences by line ends."""
    return "\n".join(_SENTENCE_END.split(text.strip()))
