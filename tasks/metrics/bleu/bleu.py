"""BLEU of sacrebleu."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import sacrebleu

from tasks.metrics import base


class Bleu(base.CorpusMetric):
    """BLEU over the corpus, in 0..100 (Papineni et al. 2002), as ``sacrebleu`` computes it (Post 2018).

    Clipped precision of 1- to 4-grams, with a brevity penalty.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        self._bleu = sacrebleu.BLEU()
        return np.array(self._bleu._extract_corpus_statistics(predictions, cast(Any, streams(references))))

    def value(self, statistics: np.ndarray) -> float:
        return float(self._bleu._compute_score_from_stats(statistics.sum(0).tolist()).score)

    @property
    def settings(self) -> dict[str, str]:
        """``bleu_signature``, after a score was computed."""
        return {"bleu_signature": str(self._bleu.get_signature())}


def streams(references: list[list[str]]) -> list[list[str | None]]:
    """The first references of all rows, then the second ones, and so on; None for a missing one, as sacrebleu wants."""
    most = max(map(len, references))
    return [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]
