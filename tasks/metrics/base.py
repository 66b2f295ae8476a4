"""What the metric modules share: their features, means of row scores, and intervals of what is no mean.

``evaluate`` takes the first class of a module that it finds for the metric: the modules import this one as a whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import evaluate
import numpy as np
from datasets import Features, Sequence, Value

from tasks.metrics.statistics import statistic_interval
from tasks.metrics.text import answer

RowScores = dict[str, list[float | None]]
"""Score name → a value a row; None where a row has none."""


class TextMetric(evaluate.Metric, ABC):
    """Compares each of ``predictions`` (a text) with its ``references`` (a list of texts)."""

    sources = False
    """Whether the module also takes ``sources``, the text that each prediction was made from."""

    def _info(self) -> evaluate.MetricInfo:
        columns = {"predictions": Value("string"), "references": Sequence(Value("string"))}
        if self.sources:
            columns["sources"] = Value("string")
        return evaluate.MetricInfo(description=type(self).__doc__ or "", citation="", features=Features(columns))

    @property
    def settings(self) -> dict[str, str]:
        """What a score must be told with, such as sacrebleu's signature."""
        return {}


class RowMetric(TextMetric):
    """Scores rows one by one; the score of all is their mean. With ``per_row``: a list a score instead."""

    @abstractmethod
    def rows(self, predictions: list[str], references: list[list[str]]) -> RowScores:
        """Score name → a value a row."""

    def _compute(self, predictions: Any, references: Any, per_row: bool = False) -> RowScores | dict[str, float | None]:
        return row_scores(self.rows(*plain(predictions, references)), per_row)


def row_scores(found: RowScores, per_row: bool) -> RowScores | dict[str, float | None]:
    """``found``, or the mean of each score over the rows that have it."""
    return found if per_row else {name: _mean(values) for name, values in found.items()}


class CorpusMetric(TextMetric):
    """A score of all rows that is no mean over them.

    ``resamples``, ``confidence``, ``seed``: with resamples also ``NAME_low`` and ``NAME_high``, its bootstrap interval
    over rows.
    """

    @abstractmethod
    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        """Numbers of each row (shape: rows, numbers) from which ``value`` tells the score of any set of rows."""

    @abstractmethod
    def value(self, statistics: np.ndarray) -> float:
        """The score of rows with these ``statistics``."""

    def _compute(
        self, predictions: Any, references: Any, resamples: int = 0, confidence: float = 0.95, seed: int = 0
    ) -> dict[str, float]:
        found = self.statistics(*plain(predictions, references))
        name = str(self.name)
        if not resamples:
            return {name: float(self.value(found))}
        value, low, high = statistic_interval(found, self.value, resamples, confidence, seed)
        return {name: value, f"{name}_low": low, f"{name}_high": high}


def plain(predictions: Any, references: Any) -> tuple[list[str], list[list[str]]]:
    """As Python's own; arrow and numpy hand over their types."""
    return [str(text) for text in predictions], [[str(text) for text in texts] for texts in references]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def labels(predictions: list[str], references: list[list[str]]) -> np.ndarray:
    """Number of the true label and of the said one, a row (shape: rows, 2).

    A text that is no row's label has a number of its own: it is wrong everywhere. Of several references the one
    that was said counts, else the first.
    """
    numbers: dict[str, int] = {}
    true = [[answer(text) for text in texts] for texts in references]
    said = [answer(text) for text in predictions]
    for texts in true:
        for text in texts:
            numbers.setdefault(text, len(numbers))
    other = len(numbers)
    rows = [
        (numbers[text if text in texts else texts[0]], numbers.get(text, other))
        for text, texts in zip(said, true, strict=True)
    ]
    return np.array(rows, dtype=np.int64)


def confusion(rows: np.ndarray) -> np.ndarray:
    """How often each label (first index) was called each (second), from what ``labels`` gives."""
    size = int(rows.max()) + 1
    return cast(np.ndarray, np.bincount(rows[:, 0] * size + rows[:, 1], minlength=size * size).reshape(size, size))


def numbers(predictions: list[str], references: list[list[str]]) -> np.ndarray:
    """The number that is true and the one that was said, a row (shape: rows, 2).

    What was said and is no number counts as -1, as T5 does it (google-research/text-to-text-transfer-transformer,
    ``t5/data/postprocessors.py``, ``string_to_float``).

    Raises:
        ValueError: a reference is no number.
    """
    rows = []
    for row, (said, true) in enumerate(zip(predictions, references, strict=True)):
        value = _float(true[0])
        if value is None:
            raise ValueError(
                f"reference {row}: correlation needs finite numbers as references; it is {true[0]!r}; name another "
                "metric in the template set, or correct the data"
            )
        found = _float(said)
        rows.append((value, -1.0 if found is None else found))
    return np.array(rows)


def _float(text: str) -> float | None:
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def correlation(rows: np.ndarray) -> float:
    """Pearson's of the two columns of ``rows``; 0 where one of them does not vary, as nothing follows from it then."""
    first, second = (rows - rows.mean(axis=0)).T
    spread = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / spread if spread > 0 else 0.0
