"""F1 over named entities."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base
from tasks.metrics.text import entity_counts, entity_score


class EntityF1(base.CorpusMetric):
    """F1 over the entities of all rows, in 0..1; name and type must match (CoNLL-2003, Tjong Kim Sang & De Meulder).

    Texts list one entity per line, ``name: type``. Other lines, such as ``none``, list no entity. An entity counts once
    per row. Of several references the first counts. If no text lists an entity, the score is 1.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return np.array(
            [entity_counts(output, texts[0]) for output, texts in zip(predictions, references, strict=True)],
            dtype=np.int64,
        )

    def value(self, statistics: np.ndarray) -> float:
        return entity_score(statistics.sum(axis=0))
