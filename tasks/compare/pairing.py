"""Which prediction of one system belongs to which of another."""

from __future__ import annotations

import math

from tasks.text.rows import Row

Key = tuple[str, str, str]


def key(row: Row) -> Key:
    """What names a prediction in every system: its row (two sources may hold one) and the template that asked."""
    return row["source"], row["row_id"], row["template_id"]


def gains(ours: list[Row], theirs: list[Row], metric: str) -> dict[Key, float]:
    """``metric`` of ours minus theirs for each key that both scored, in the order of ``theirs``."""
    scores = {key(row): row.get(metric) for row in ours}
    found = {}
    for row in theirs:
        our, their = scores.get(key(row)), row.get(metric)
        if our is not None and their is not None and math.isfinite(our) and math.isfinite(their):
            found[key(row)] = float(our) - float(their)
    return found
