"""chrF of sacrebleu."""

from __future__ import annotations

import numpy as np
import sacrebleu

from tasks.metrics import base


class Chrf(base.CorpusMetric):
    """chrF2 over the corpus, in 0..100 (Popović 2015, 2017), as ``sacrebleu`` computes it.

    F-score of n-grams of 1 to 6 characters, where recall weighs twice as much as precision.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        self._chrf = sacrebleu.CHRF()
        most = max(map(len, references))
        # Unlike BLEU, sacrebleu's chrF takes no None for a missing reference; repeating the last one changes nothing.
        streams = [[texts[min(i, len(texts) - 1)] for texts in references] for i in range(most)]
        return np.array(self._chrf._extract_corpus_statistics(predictions, streams))

    def value(self, statistics: np.ndarray) -> float:
        if not statistics[:, 1].sum():  # the characters of the references
            return float("nan")
        return float(self._chrf._compute_score_from_stats(statistics.sum(0).tolist()).score)

    @property
    def settings(self) -> dict[str, str]:
        """``chrf_signature``, after a score was computed."""
        return {"chrf_signature": str(self._chrf.get_signature())}
