"""Which metrics there are. Light: nothing here imports ``evaluate``."""

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
"""Folders here, each an ``evaluate.Metric``, that a template set or template may name."""

ROUGE_COLUMNS = tuple(
    f"rouge{kind}_{part}" for kind in ("1", "2", "L", "Lsum") for part in ("precision", "recall", "f")
)
SIGNS = (
    *("repetition", "distinct_1", "distinct_2", "length_ratio", "copied_4grams", "negation_differs", "numbers_differ"),
    "empty",
)
ASKED = ("exact_match", "accuracy", "token_f1", "chrf", "entity_f1")
"""Scores that a row has only where its metrics ask for them; ``exact_match`` also where it has answer choices."""

SCORES = (*ROUGE_COLUMNS, "bleu", *SIGNS, *ASKED)
"""Score columns of ``predictions.parquet``."""

HIGHER_IS_BETTER = (*ROUGE_COLUMNS, "bleu", *ASKED)
"""Those of ``SCORES`` by which one system may be called better than another."""

OF_ALL_ROWS = ("macro_f1", "matthews", "pearson", "spearman")
"""Metrics with one value for all rows together; a row has no score of its own."""

LOSS = "loss"
"""Named by a set of general text, where no answer is right: its rows are judged by how likely the reference is."""

_HUB = re.compile(r"hub:[\w-]+(/[\w.-]+)?(@[\w.-]+)?")


def is_hub(name: str) -> bool:
    """``hub:NAME``, ``hub:OWNER/NAME`` or either with ``@REVISION``."""
    return name.startswith("hub:")


def known(name: str) -> bool:
    return name in (*METRICS, LOSS) or _HUB.fullmatch(name) is not None


def row_score(name: str) -> str:
    """Return ``name`` if it is one of ``HIGHER_IS_BETTER``; a validator of parameters.

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
