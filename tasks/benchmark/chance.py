"""Scores of a model that knows nothing: uniform guessing, and always the most frequent answer."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.benchmark.aggregates import AGGREGATES
from tasks.text.rows import Row

if TYPE_CHECKING:
    from tasks.benchmark.harness.build import Built

ABOVE, NOISE = "above chance", "within noise of chance"
"""Verdicts of a task."""

_CERTAIN, _NEVER = (0.0, True), (-1e9, False)
"""(log-probability, greedy) of a guesser's choice, and of the other choices."""

_OPTION = re.compile(r"^\s*(?:\([A-Z]\)|-)\s", re.MULTILINE)


@dataclass(frozen=True)
class Guesses:
    """Values of the rows under guessing.

    Attributes:
        options: per row and answer that can be guessed: metric → value, as lm-eval's ``process_results``.
        weights: per row, the probability that each of these answers is guessed; sums to 1.
        frequent: per row, metric → value of the most frequent answer; None if rows have no answers in common.
    """

    options: list[list[dict[str, Any]]]
    weights: list[list[float]]
    frequent: list[dict[str, Any]] | None


def guesses(built: Built, samples: list[Row]) -> Guesses:
    """Score guesses on the rows of ``samples``, as the task scores answers."""
    if built.task.OUTPUT_TYPE == "multiple_choice":
        return _of_choices(built, samples)
    return _of_texts(built, samples)


def _of_choices(built: Built, samples: list[Row]) -> Guesses:
    listed = [built.task.doc_to_choice(sample["doc"]) for sample in samples]
    options = [
        [_decided(built, sample["doc"], choice, len(choices)) for choice in range(len(choices))]
        for sample, choices in zip(samples, listed, strict=True)
    ]
    weights = [[1 / len(choices)] * len(choices) for choices in listed]
    # An index is an answer if labels are numbered, or if all rows have the same choices.
    common = built.definition.labels is not None or all(choices == listed[0] for choices in listed)
    if not common:
        return Guesses(options, weights, None)
    best = Counter(index for sample in samples for index in _indices(sample["target"])).most_common()
    top = min(best, key=lambda pair: (-pair[1], pair[0]))[0]
    return Guesses(options, weights, [row[min(top, len(row) - 1)] for row in options])


def _indices(target: Any) -> list[int]:
    targets = target if isinstance(target, list) else [target]
    return [index for index in targets if isinstance(index, int)] or [0]


def _decided(built: Built, doc: Row, choice: int, count: int) -> dict[str, Any]:
    results = [_CERTAIN if index == choice else _NEVER for index in range(count)]
    return dict(built.task.process_results(doc, results))


def _of_texts(built: Built, samples: list[Row]) -> Guesses:
    """Guess among the options that the question lists, else among the task's known number of answers, else nothing."""
    wrong = dict.fromkeys(built.definition.metrics, 0.0)
    right = dict.fromkeys(built.definition.metrics, 1.0)
    rates = [1 / count if (count := _listed(sample["doc"], built.definition.answers)) else 0.0 for sample in samples]
    texts = Counter(_first(sample["target"]) for sample in samples)
    top = min(texts, key=lambda text: (-texts[text], text))
    frequent = [dict(built.task.process_results(sample["doc"], [top])) for sample in samples]
    return Guesses([[right, wrong]] * len(samples), [[rate, 1 - rate] for rate in rates], frequent)


def _listed(doc: Row, known: int | None) -> int | None:
    text = str(doc.get("input", doc.get("inputs", "")))
    options = len(_OPTION.findall(text.split("Options:")[-1])) if "Options:" in text else 0
    return options if options > 1 else known


def _first(target: Any) -> str:
    return str(target[0] if isinstance(target, list) else target)


def by_chance(guessed: Guesses, metric: str, measure: str, count: int, seed: int) -> np.ndarray:
    """The scores of ``count`` seeded guessers on these rows; those without a score (a correlation) are left out.

    A guesser guesses each row independently, also rows about one passage, so that no groups are drawn here.
    """
    generator = np.random.default_rng(seed)
    rows, width = len(guessed.options), max(map(len, guessed.options))
    ends = np.full((rows, width), np.inf)  # a row with fewer answers has no further boundary
    for row, weights in enumerate(guessed.weights):
        ends[row, : len(weights) - 1] = np.cumsum(weights)[:-1]
    values = [[option[metric] for option in options] for options in guessed.options]
    picks = ((generator.random(rows)[:, None] >= ends).sum(axis=1) for _ in range(count))
    if measure == "mean":
        table = np.array([[*row, *[0.0] * (width - len(row))] for row in values])
        return np.array([table[np.arange(rows), chosen].mean() for chosen in picks])
    scores = np.array(
        [AGGREGATES[measure]([row[index] for row, index in zip(values, chosen, strict=True)]) for chosen in picks]
    )
    return scores[np.isfinite(scores)]


def expected(guessed: Guesses, metric: str, measure: str, drawn: np.ndarray) -> float:
    """The score of guessing: exact for means over rows, else the mean of ``drawn`` guessers."""
    if measure != "mean":
        return float(drawn.mean())
    rows = zip(guessed.options, guessed.weights, strict=True)
    return float(np.mean([sum(w * o[metric] for o, w in zip(os, ws, strict=True)) for os, ws in rows]))


def frequent_score(guessed: Guesses, metric: str, measure: str) -> float | None:
    """The score of always giving the most frequent answer of these rows; None if it has none, or they share none."""
    if guessed.frequent is None:
        return None
    score = AGGREGATES[measure]([row[metric] for row in guessed.frequent])
    return score if np.isfinite(score) else None  # one answer for all rows has no correlation
