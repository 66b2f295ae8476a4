"""How often two references of one row differ by a sign: the share at which it marks texts that are both right."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from tasks.metrics.languages import is_english
from tasks.metrics.names import BETWEEN_REFERENCES
from tasks.metrics.negation import same_negation
from tasks.metrics.params import IntervalParams
from tasks.metrics.quantities import same_numbers
from tasks.metrics.statistics import averaged_columns, mean_intervals
from tasks.text.rows import Row

_SAME = {"negation_differs": same_negation, "numbers_differ": same_numbers}


def between_references(rows: list[Row], params: IntervalParams) -> dict[str, dict[str, float | None]]:
    """Mean over rows of the share of their pairs of references that differ, with its interval over groups.

    Args:
        rows: with ``references``, the columns of ``RowKey``, ``group``, and ``language`` if it is known: the signs read
            English.

    Returns:
        Name of ``BETWEEN_REFERENCES`` → ``value``, ``low``, ``high``, over the English rows with two references or
        more; empty if there are none.
    """
    names = tuple(BETWEEN_REFERENCES.values())
    several = [
        row | {name: _share(sign, row["references"]) for sign, name in BETWEEN_REFERENCES.items()}
        for row in rows
        if len(row["references"]) > 1 and is_english(row.get("language"))
    ]
    shares, groups = averaged_columns(several, names)
    intervals = mean_intervals(shares, params, groups)
    return {name: one._asdict() for name, one in zip(names, intervals, strict=True) if one is not None}


def _share(sign: str, references: list[str]) -> float:
    return float(np.mean([not _SAME[sign](one, other) for one, other in combinations(references, 2)]))
