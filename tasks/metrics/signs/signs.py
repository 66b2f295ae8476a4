"""Signs of a bad text that other metrics may score well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tasks.metrics import base
from tasks.metrics.languages import is_english
from tasks.metrics.negation import same_negation
from tasks.metrics.quantities import same_numbers
from tasks.metrics.text import ngrams, runs, words


class Signs(base.TextMetric):
    """Signs of each prediction, computed from the prediction, its references and its source text.

    Words are those of any script (``tasks.text.words``). ``languages`` may have the language of each row;
    ``negation_differs`` and ``numbers_differ`` read English, and are None for a row in another language.

    - ``repetition``: share of its word 3-grams that come again; 0 for fewer than three words;
    - ``distinct_1``, ``distinct_2``: different words (2-grams) divided by all of them (Li et al. 2016); None for none;
    - ``length_ratio``: its words divided by those of the reference of nearest length; None if that is empty;
    - ``copied_4grams``: share of its word 4-grams that stand in the source; 0 for fewer than four words;
    - ``negation_differs``: 1 if it negates and no reference does, or the other way round (``negation.py``);
    - ``numbers_differ``: 1 if no reference has the same numbers, in digits or in words (``quantities.py``);
    - ``empty``: 1 for an empty prediction.
    """

    sources = True

    def _compute(
        self,
        predictions: Any,
        references: Any,
        sources: Any,
        per_row: bool = False,
        languages: list[str | None] | None = None,
    ) -> Any:
        outputs, true = base.plain(predictions, references)
        by_row = languages or [None] * len(outputs)
        rows = [signs(*row) for row in zip(outputs, true, map(str, sources), by_row, strict=True)]
        return base.row_scores({name: [row[name] for row in rows] for name in rows[0]}, per_row)


def signs(output: str, references: list[str], source: str, language: str | None = None) -> dict[str, float | None]:
    tokens = words(output)
    return {
        "repetition": _repeated(ngrams(tokens, 3)),
        "distinct_1": _distinct(ngrams(tokens, 1)),
        "distinct_2": _distinct(ngrams(tokens, 2)),
        "length_ratio": _length_ratio(len(tokens), [len(words(text)) for text in references]),
        "copied_4grams": copied_ngrams(output, source),
        "negation_differs": _differs(same_negation, output, references) if is_english(language) else None,
        "numbers_differ": _differs(same_numbers, output, references) if is_english(language) else None,
        "empty": float(not output.strip()),
    }


def _differs(same: Callable[[str, str], bool], output: str, references: list[str]) -> float:
    return float(not any(same(output, text) for text in references))


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
    output_grams, source_grams = (ngrams(runs(text), n) for text in (output, source))
    known = set(source_grams)
    return sum(gram in known for gram in output_grams) / len(output_grams) if output_grams else 0.0
