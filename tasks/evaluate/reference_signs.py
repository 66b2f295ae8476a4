"""How often two references of one row differ by a sign: what the sign shows between two texts that are both right."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from tasks.metrics.names import BETWEEN_REFERENCES
from tasks.metrics.negation import same_negation
from tasks.metrics.params import IntervalParams
from tasks.metrics.quantities import same_numbers
from tasks.metrics.statistics import mean_interval, row_averages
from tasks.text.rows import Row, row_key

_SAME = {"negation_differs": same_negation, "numbers_differ": same_numbers}


def between_references(rows: list[Row], params: IntervalParams) -> dict[str, dict[str, float | None]]:
    """Mean over rows of the share of their pairs of references that differ, with its bootstrap interval.

    Args:
        rows: with ``references`` and the columns of ``RowKey``.

    Returns:
        Name of ``BETWEEN_REFERENCES`` → ``value``, ``low``, ``high``, over the rows with two references or more; empty
        if there are none.
    """
    several = [row for row in rows if len(row["references"]) > 1]
    floors: dict[str, dict[str, float | None]] = {}
    for sign, name in BETWEEN_REFERENCES.items():
        if several:
            shares = row_averages((row_key(row), _share(sign, row["references"])) for row in several)
            value, low, high = mean_interval(shares, params.resamples, params.confidence, params.seed)
            floors[name] = {"value": value, "low": low, "high": high}
    return floors


def _share(sign: str, references: list[str]) -> float:
    return float(np.mean([not _SAME[sign](one, other) for one, other in combinations(references, 2)]))
