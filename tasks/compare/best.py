"""The systems that may be the best in the primary metric, if there are more than three."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.compare.collect import System
from tasks.compare.pairing import shared_scores
from tasks.compare.params import CompareParams
from tasks.metrics.best import not_told_apart
from tasks.metrics.params import VerdictParams

FEWEST = 4
"""Fewer systems are told apart by their differences to the baseline."""


def best(
    compared: Sequence[System], metric: str, params: CompareParams, verdicts: VerdictParams
) -> dict[str, Any] | None:
    """The system with the highest mean and those that are not told apart from it (``not_told_apart``).

    Returns:
        ``metric``, ``system`` (the highest mean), ``not_told_apart`` (names of the others, the highest mean first),
        ``systems`` (their number), ``rows``, ``groups`` and ``enough`` (whether there are as many groups as a verdict
        needs; if not, no system is told apart). None for fewer than ``FEWEST`` systems, or if no row has the score of
        all.
    """
    if len(compared) < FEWEST:
        return None
    scores, groups = shared_scores(compared, metric)
    if not len(scores):
        return None
    enough = len(set(groups)) >= verdicts.min_groups
    order = scores.mean(axis=0).argsort(kind="stable")[::-1].tolist()
    names = [compared[number].name for number in (not_told_apart(scores, params, groups) if enough else order)]
    return {
        "metric": metric,
        "system": compared[order[0]].name,
        "not_told_apart": [name for name in names if name != compared[order[0]].name],
        "systems": len(compared),
        "rows": len(scores),
        "groups": len(set(groups)),
        "enough": enough,
    }
