"""F1 over named entities."""

from __future__ import annotations

import numpy as np

from tasks.metrics import base


class EntityF1(base.CorpusMetric):
    """F1 over all entities of all rows, each right where name and type are (the exact match of CoNLL-2003, Tjong Kim
    Sang & De Meulder), in 0..1. Texts list an entity a line, ``name: type``; other lines, such as ``none``, list
    nothing.

    An entity counts once a row. Rows in which nothing is to be found and nothing is said have no share; where all are
    such the score is 1. Of several references the first counts.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return np.array(
            [counts(said, texts[0]) for said, texts in zip(predictions, references, strict=True)], dtype=np.int64
        )

    def value(self, statistics: np.ndarray) -> float:
        right, said, true = statistics.sum(axis=0)
        return float(2 * right / (said + true)) if said + true else 1.0


def counts(said: str, reference: str) -> tuple[int, int, int]:
    """Entities that both name, that the text names, that the reference names."""
    ours, theirs = entities(said), entities(reference)
    return len(ours & theirs), len(ours), len(theirs)


def entities(text: str) -> set[tuple[str, str]]:
    """(name, type) in small letters of every line that is ``name: type``."""
    found = set()
    for line in text.lower().splitlines():
        name, colon, kind = (part.strip() for part in line.rpartition(":"))
        if colon and name and kind:
            found.add((name, kind))
    return found
