"""Signs of a bad text that other metrics may score well."""

from __future__ import annotations

import re
from typing import Any

from tasks.metrics import base
from tasks.metrics.negation import same_negation
from tasks.metrics.quantities import same_numbers
from tasks.metrics.text import ngrams, words


class Signs(base.TextMetric):
    """Signs of each prediction, computed from the prediction, its references and its source text.

    - ``repetition``: share of its word 3-grams that come again; 0 for fewer than three words;
    - ``distinct_1``, ``distinct_2``: different words (2-grams) divided by all of them (Li et al. 2016); None for none;
    - ``length_ratio``: its words divided by those of the reference of nearest length; None if that is empty;
    - ``copied_4grams``: share of its word 4-grams that stand in the source; 0 for fewer than four words;
    - ``negation_differs``: 1 if it negates and no reference does, or the other way round (``negation.py``);
    - ``numbers_differ``: 1 if no reference has the same numbers, in digits or in words (``quantities.py``);
    - ``empty``: 1 for an empty prediction.
    """

    sources = True

    def _compute(self, predictions: Any, references: Any, sources: Any, per_row: bool = False) -> Any:
        outputs, true = base.plain(predictions, references)
        rows = [signs(*row) for row in zip(outputs, true, map(str, sources), strict=True)]
        return base.row_scores({name: [row[name] for row in rows] for name in rows[0]}, per_row)


def signs(output: str, references: list[str], source: str) -> dict[str, float | None]:
    tokens = words(output)
    return {
        "repetition": _repeated(ngrams(tokens, 3)),
        "distinct_1": _distinct(ngrams(tokens, 1)),
        "distinct_2": _distinct(ngrams(tokens, 2)),
        "length_ratio": _length_ratio(len(tokens), [len(words(text)) for text in references]),
        "copied_4grams": copied_ngrams(output, source),
        "negation_differs": float(not any(same_negation(output, text) for text in references)),
        "numbers_differ": float(not any(same_numbers(output, text) for text in references)),
        "empty": float(not output.strip()),
    }


def _repeated(grams: list[tuple[str, ...]]) -> float:
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _distinct(grams: list[tuple[str, ...]]) -> float | None:
    return len(set(grams)) / len(grams) if grams else None


def _length_ratio(length: int, reference_lengths: list[int]) -> float | None:
    nearest = min(reference_lengths, key=lambda other: (abs(other - length), other))
    return length / nearest if nearest else None


def copied_ngrams(output: str, source: str, n: int = 4) -> float:
    """Share of the n-grams of ``output`` that stand in ``source``; 0 for fewer than n words.

    An under-trained model that repeats the source gains ROUGE; this score shows it.
    """
    # "don't" is two words here, as in earlier versions: their scores must stay comparable.
    output_grams, source_grams = (ngrams(re.findall(r"\w+", text.lower()), n) for text in (output, source))
    known = set(source_grams)
    return sum(gram in known for gram in output_grams) / len(output_grams) if output_grams else 0.0
