"""BLEU of sacrebleu."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import sacrebleu

from tasks.metrics import base
from tasks.metrics.languages import bleu_tokenizer


class Bleu(base.CorpusMetric):
    """BLEU over the corpus, in 0..100 (Papineni et al. 2002), as ``sacrebleu`` computes it (Post 2018).

    Clipped precision of 1- to 4-grams, with a brevity penalty. ``languages`` has the language of each row, which
    decides on its tokenizer (``tasks.metrics.languages``); without it, every row has sacrebleu's default.
    """

    def statistics(
        self, predictions: list[str], references: list[list[str]], languages: list[str | None] | None = None
    ) -> np.ndarray:
        tokenizers = [bleu_tokenizer(language) for language in languages or [None] * len(predictions)]
        self._by_tokenizer = {name: sacrebleu.BLEU(tokenize=name) for name in dict.fromkeys(tokenizers)}
        rows: dict[int, list[int]] = {}
        for tokenizer, bleu in self._by_tokenizer.items():
            numbers = [number for number, name in enumerate(tokenizers) if name == tokenizer]
            true = cast(Any, streams([references[number] for number in numbers]))
            statistics = bleu._extract_corpus_statistics([predictions[number] for number in numbers], true)
            rows |= dict(zip(numbers, statistics, strict=True))
        return np.array([rows[number] for number in range(len(predictions))])

    def value(self, statistics: np.ndarray) -> float:
        if not statistics[:, 1].sum():  # the lengths of the references
            return float("nan")
        bleu = next(iter(self._by_tokenizer.values()))  # any: the score follows from the counts
        return float(bleu._compute_score_from_stats(statistics.sum(0).tolist()).score)

    @property
    def settings(self) -> dict[str, str]:
        """``bleu_signature``, after a score was computed; of several tokenizers, their signatures one after another."""
        return {"bleu_signature": "; ".join(str(bleu.get_signature()) for bleu in self._by_tokenizer.values())}


def streams(references: list[list[str]]) -> list[list[str | None]]:
    """The first references of all rows, then the second ones, and so on; None for a missing one, as sacrebleu wants."""
    most = max(map(len, references))
    return [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]
