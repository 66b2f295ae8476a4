"""Names of metrics and of score columns. This module is cheap to import: it does not import ``evaluate``."""

from __future__ import annotations

import re

from tasks.core.errors import did_you_mean

METRICS = (
    "rouge",
    "bleu",
    "chrf",
    "exact_match",
    "token_f1",
    "accuracy",
    "macro_f1",
    "matthews",
    "pearson",
    "spearman",
    "entity_f1",
)
"""Metrics that a template set or template may name; each is a folder here with an ``evaluate.Metric``."""

CORPUS = ("bleu", "chrf", "macro_f1", "matthews", "pearson", "spearman", "entity_f1")
"""Metrics that are computed over all rows and are not means of the rows' scores."""

ROUGE_COLUMNS = tuple(
    f"rouge{kind}_{part}" for kind in ("1", "2", "L", "Lsum") for part in ("precision", "recall", "f")
)
SIGNS = (
    *("repetition", "distinct_1", "distinct_2", "length_ratio", "copied_4grams", "negation_differs", "numbers_differ"),
    "empty",
)
BETWEEN_REFERENCES = {
    "negation_differs": "references_negation_differs",
    "numbers_differ": "references_numbers_differ",
}
"""Sign → metric of all rows: how often two references of one row differ by it."""

OPTIONAL_SCORES = ("exact_match", "accuracy", "token_f1", "chrf", "entity_f1")
"""Scores of rows whose templates name the metric; rows with answer choices also have ``exact_match``."""

SCORES = (*ROUGE_COLUMNS, "bleu", *SIGNS, *OPTIONAL_SCORES)
"""Score columns of ``predictions.parquet``."""

OF_EVERY_ROW = (*ROUGE_COLUMNS, "bleu")
"""Scores of every row, whatever its template names; null only if the row's references have no token to compare."""

HIGHER_IS_BETTER = (*OF_EVERY_ROW, *OPTIONAL_SCORES)
"""The scores that can show one system to be better than another."""

LOWER_IS_BETTER = ("repetition", "copied_4grams", "negation_differs", "numbers_differ", "empty")
"""The signs of which less is better."""

ROW_SCORES = {
    "rouge": "rouge1_f",
    "bleu": "bleu",
    "chrf": "chrf",
    "exact_match": "exact_match",
    "token_f1": "token_f1",
    "accuracy": "accuracy",
    "macro_f1": "accuracy",
    "matthews": "accuracy",
    "entity_f1": "entity_f1",
}
"""Metric that a template names → the score of a row by which systems are compared in it."""

OF_ALL_ROWS = ("macro_f1", "matthews", "pearson", "spearman")
"""Metrics with one value for all rows together; a row has no score of its own."""

LOSS = "loss"
"""Metric of general text, which has no right completion: the likelihood of the reference is the score."""

_HUB = re.compile(r"hub:[\w-]+(/[\w.-]+)?(@[\w.-]+)?")


def is_hub(name: str) -> bool:
    """Whether ``name`` is ``hub:NAME`` or ``hub:OWNER/NAME``, with or without ``@REVISION``."""
    return name.startswith("hub:")


def known(name: str) -> bool:
    return name in (*METRICS, LOSS) or _HUB.fullmatch(name) is not None


def row_score(name: str) -> str:
    """Validate a parameter that names one of ``HIGHER_IS_BETTER``, and return the name.

    Raises:
        ValueError: it is not; the message names the known scores and the most similar one.
    """
    if name in HIGHER_IS_BETTER:
        return name
    why = ""
    if name in OF_ALL_ROWS:
        why = f"; {name} has one value for all rows, but rows are compared one by one: for labels take accuracy"
    raise ValueError(
        f"must be a score that each row has and of which more is better; it is {name!r}{why}; there are: "
        f"{', '.join(HIGHER_IS_BETTER)}{did_you_mean(name, HIGHER_IS_BETTER)}"
    )
