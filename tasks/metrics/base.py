"""Base classes of the metric modules: metrics of rows, and metrics of the whole corpus with their intervals.

``evaluate`` takes the first metric class in a module's namespace, so the metric modules import this module as a whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, cast

import numpy as np
from datasets import Features, Sequence, Value

from tasks.metrics.evaluate_library import evaluate
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import statistic_interval
from tasks.metrics.text import answer

RowScores = dict[str, list[float | None]]
"""Score name → one value per row; None for a row without the score."""


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
        """Settings to report beside the score, such as sacrebleu's signature."""
        return {}


class RowMetric(TextMetric):
    """A metric that scores rows one by one; the corpus score is their mean. ``per_row`` returns the rows' scores."""

    @abstractmethod
    def rows(self, predictions: list[str], references: list[list[str]]) -> RowScores:
        """Score name → one value per row."""

    def _compute(self, predictions: Any, references: Any, per_row: bool = False) -> RowScores | dict[str, float | None]:
        return row_scores(self.rows(*plain(predictions, references)), per_row)


def row_scores(scores: RowScores, per_row: bool) -> RowScores | dict[str, float | None]:
    """``scores`` themselves if ``per_row``, else the mean of each score over the rows that have it."""
    return scores if per_row else {name: _mean(values) for name, values in scores.items()}


class CorpusMetric(TextMetric):
    """A metric of all rows together that is no mean of row scores.

    If ``resamples`` is not 0, the result also has ``NAME_low`` and ``NAME_high``: the ends of the bootstrap interval.
    It draws rows, or whole groups of rows if ``groups`` names the group of each row. All are None where the score is
    not defined; resamples without a score are left out.
    """

    @abstractmethod
    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        """Numbers of each row (shape: rows, numbers), from which ``value`` computes the score of any set of rows."""

    @abstractmethod
    def value(self, statistics: np.ndarray) -> float:
        """The score of rows with these ``statistics``; NaN if it is not defined."""

    def counts(self, statistics: np.ndarray) -> dict[str, int]:
        """Numbers of rows to report beside the score, by name."""
        return {}

    def _compute(
        self,
        predictions: Any,
        references: Any,
        resamples: int = 0,
        confidence: float = 0.95,
        seed: int = 0,
        groups: list[Hashable] | None = None,
        **options: Any,
    ) -> dict[str, float | None]:
        statistics = self.statistics(*plain(predictions, references), **options)
        name = str(self.name)
        scores: dict[str, float | None] = {f"{name}_{key}": n for key, n in self.counts(statistics).items()}
        value = float(self.value(statistics))
        if not np.isfinite(value):
            missing = ("", "_low", "_high") if resamples else ("",)
            return {f"{name}{part}": None for part in missing} | scores
        if not resamples:
            return {name: value} | scores
        params = IntervalParams(resamples=resamples, confidence=confidence, seed=seed)
        _, low, high = statistic_interval(statistics, self.value, params, groups)
        return {name: value, f"{name}_low": low, f"{name}_high": high} | scores


class Correlation(CorpusMetric):
    """A correlation of true and predicted numbers, in -1..1; not defined where one side has one value alone.

    The result also has ``NAME_unparsed``: predictions that are no number. Each counts as -1, as in T5's evaluation.
    """

    def statistics(self, predictions: list[str], references: list[list[str]]) -> np.ndarray:
        return numbers(predictions, references)

    def value(self, statistics: np.ndarray) -> float:
        return self.correlation(_with_unparsed(statistics))

    @abstractmethod
    def correlation(self, pairs: np.ndarray) -> float:
        """The correlation of the two columns of ``pairs``; NaN where one of them does not vary."""

    def counts(self, statistics: np.ndarray) -> dict[str, int]:
        return {"unparsed": int(np.isnan(statistics[:, 1]).sum())}


def plain(predictions: Any, references: Any) -> tuple[list[str], list[list[str]]]:
    """Texts as Python strings: Arrow and NumPy pass their own types."""
    return [str(text) for text in predictions], [[str(text) for text in texts] for texts in references]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def labels(predictions: list[str], references: list[list[str]]) -> np.ndarray:
    """Numbers of the true and of the predicted label of each row (shape: rows, 2).

    All predictions that are no row's label share one more number: they are wrong everywhere. Of several references,
    the predicted one counts, else the first.
    """
    numbers: dict[str, int] = {}
    true = [[answer(text) for text in texts] for texts in references]
    predicted = [answer(text) for text in predictions]
    for texts in true:
        for text in texts:
            numbers.setdefault(text, len(numbers))
    other = len(numbers)
    rows = [
        (numbers[text if text in texts else texts[0]], numbers.get(text, other))
        for text, texts in zip(predicted, true, strict=True)
    ]
    return np.array(rows, dtype=np.int64)


def confusion(rows: np.ndarray) -> np.ndarray:
    """Confusion matrix (shape: true labels, predicted labels) of the result of ``labels``."""
    size = int(rows.max()) + 1
    return cast(np.ndarray, np.bincount(rows[:, 0] * size + rows[:, 1], minlength=size * size).reshape(size, size))


def numbers(predictions: list[str], references: list[list[str]]) -> np.ndarray:
    """True and predicted number of each row (shape: rows, 2); NaN for a prediction that is no finite number.

    Raises:
        ValueError: a reference is no number.
    """
    rows = []
    for row, (output, true) in enumerate(zip(predictions, references, strict=True)):
        value = _float(true[0])
        if value is None:
            raise ValueError(
                f"reference {row}: correlation needs finite numbers as references; it is {true[0]!r}; name another "
                "metric in the template set, or correct the data"
            )
        predicted = _float(output)
        rows.append((value, np.nan if predicted is None else predicted))
    return np.array(rows)


def _with_unparsed(rows: np.ndarray) -> np.ndarray:
    """The result of ``numbers`` with -1 for NaN.

    As T5 does (google-research/text-to-text-transfer-transformer, ``t5/data/postprocessors.py``, ``string_to_float``).
    """
    return np.where(np.isnan(rows), -1.0, rows)


def _float(text: str) -> float | None:
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if np.isfinite(value) else None
