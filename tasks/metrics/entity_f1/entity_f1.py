"""F1 over named entities."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base
from tasks.metrics.text import entity_counts, entity_score


class EntityF1(base.CorpusMetric):
    """F1 over all entities of all rows, each right where name and type are (the exact match of CoNLL-2003, Tjong Kim
    Sang & De Meulder), in 0..1. Texts list an entity a line, ``name: type``; other lines, such as ``none``, list
    nothing.

    An entity counts once a row. Rows in which nothing is to be found and nothing is said have no share; where all are
    such the score is 1. Of several references the first counts.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return np.array(
            [entity_counts(said, texts[0]) for said, texts in zip(predictions, references, strict=True)], dtype=np.int64
        )

    def value(self, statistics: np.ndarray) -> float:
        return entity_score(statistics.sum(axis=0))
