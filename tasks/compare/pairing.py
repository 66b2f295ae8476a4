"""Pair the predictions of two systems by row."""

from __future__ import annotations

import math

from tasks.text.rows import Row, RowKey, row_key


def gains(ours: list[Row], theirs: list[Row], metric: str) -> dict[RowKey, float]:
    """Our score in ``metric`` minus theirs, for each row that both scored, in the order of ``theirs``."""
    scores = {row_key(row): row.get(metric) for row in ours}
    differences = {}
    for row in theirs:
        our, their = scores.get(row_key(row)), row.get(metric)
        if our is not None and their is not None and math.isfinite(our) and math.isfinite(their):
            differences[row_key(row)] = float(our) - float(their)
    return differences
