"""Signs of a bad text that may score well."""

from __future__ import annotations

import re
from typing import Any

from tasks.metrics import base
from tasks.metrics.text import denies, ngrams, numbers, words


class Signs(base.TextMetric):
    """For each text, from itself, its references and the source that it was made from:

    - ``repetition``: share of its 3-grams of words that it said before; 0 of fewer than three words;
    - ``distinct_1``, ``distinct_2``: different words and 2-grams by their number (Li et al. 2016); none without any;
    - ``length_ratio``: its words by those of the reference with the nearest length; none where that has no word;
    - ``copied_4grams``: share of its 4-grams of words that stand in the source; 0 of fewer than four words;
    - ``negation_differs``: 1 where it denies and no reference does, or the other way round;
    - ``numbers_differ``: 1 where the numbers that it names, in digits or words up to twenty, are those of no reference;
    - ``empty``: 1 where it says nothing.
    """

    sources = True

    def _compute(self, predictions: Any, references: Any, sources: Any, per_row: bool = False) -> Any:
        said, true = base.plain(predictions, references)
        rows = [signs(*row) for row in zip(said, true, map(str, sources), strict=True)]
        return base.row_scores({name: [row[name] for row in rows] for name in rows[0]}, per_row)


def signs(said: str, references: list[str], source: str) -> dict[str, float | None]:
    tokens = words(said)
    return {
        "repetition": _repeated(ngrams(tokens, 3)),
        "distinct_1": _distinct(ngrams(tokens, 1)),
        "distinct_2": _distinct(ngrams(tokens, 2)),
        "length_ratio": _length_ratio(len(tokens), [len(words(text)) for text in references]),
        "copied_4grams": copied_ngrams(said, source),
        "negation_differs": float(denies(said) not in {denies(text) for text in references}),
        "numbers_differ": float(numbers(said) not in [numbers(text) for text in references]),
        "empty": float(not said.strip()),
    }


def _repeated(grams: list[tuple[str, ...]]) -> float:
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _distinct(grams: list[tuple[str, ...]]) -> float | None:
    return len(set(grams)) / len(grams) if grams else None


def _length_ratio(said: int, true: list[int]) -> float | None:
    nearest = min(true, key=lambda length: (abs(length - said), length))
    return said / nearest if nearest else None


def copied_ngrams(said: str, source: str, n: int = 4) -> float:
    """Share of n-grams of ``said`` that stand in ``source``; 0 for fewer than n words.

    An under-trained model that repeats the dialogue gains ROUGE; this shows it.
    """
    # As numbers of words are counted: "don't" is two here, so that scores of earlier versions stay what they were.
    ours, theirs = (ngrams(re.findall(r"\w+", text.lower()), n) for text in (said, source))
    known = set(theirs)
    return sum(gram in known for gram in ours) / len(ours) if ours else 0.0
