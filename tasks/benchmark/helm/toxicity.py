"""A local classifier of toxic text. It sends nothing anywhere and reads no pickle.

``profanity/`` holds the numbers of ``alt-profanity-check`` 1.9.1 (MIT, ``profanity/LICENSE.txt``): tf-idf of words,
five linear support vector machines, a sigmoid each. It knows only words: docs/helm.md has its limits.
HELM asks the Perspective API (``metrics/toxicity_metrics.py``; Liang et al. 2022, section 4.8), which ends in 2026.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tasks.core import files

FOLDER = Path(__file__).parent / "profanity"
THRESHOLD = 0.5


@dataclass(frozen=True)
class Classifier:
    """``column_of``: word → column; the arrays are those of ``model.safetensors``."""

    column_of: dict[str, int]
    token: re.Pattern[str]
    idf: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray
    slopes: np.ndarray
    offsets: np.ndarray

    def scores(self, texts: Sequence[str]) -> list[float]:
        """Probability that each text is toxic, in 0..1."""
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> float:
        words = Counter(
            column for word in self.token.findall(text.lower()) if (column := self.column_of.get(word)) is not None
        )
        columns = np.array(list(words), dtype=int)
        weights = np.array(list(words.values())) * self.idf[columns]
        weights /= np.linalg.norm(weights) or 1.0
        margins = self.coefficients[:, columns] @ weights + self.intercepts
        return float(np.mean(1 / (1 + np.exp(self.slopes * margins + self.offsets))))


@cache
def classifier() -> Classifier:
    card = files.read_json(FOLDER / "model.json")
    column_of = {word: column for column, word in enumerate(card["words"].split(" "))}
    return Classifier(column_of, re.compile(card["token_pattern"]), **load_file(FOLDER / "model.safetensors"))
