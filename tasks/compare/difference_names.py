"""Names of differences: in a metric over all rows, in one task, or to another system than the baseline.

All but the first are secondary (``tasks.metrics.verdicts.marked``), since their names differ from the primary metric's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_AGAINST, _IN = " against ", " in "


def against(metric: str, opponent: str) -> str:
    """The name of a difference in ``metric`` to another system than the baseline."""
    return f"{metric}{_AGAINST}{opponent}"


def in_task(metric: str, task: str) -> str:
    """The name of a difference in ``metric`` over the rows of one task."""
    return f"{metric}{_IN}{task}"


def metric_of(name: str) -> str:
    """The metric of a difference; a metric's name has no space."""
    return name.partition(" ")[0]


def opponent_of(name: str) -> str | None:
    """The opponent that ``against`` named; None for another difference."""
    return name.partition(_AGAINST)[2] if name.startswith(f"{metric_of(name)}{_AGAINST}") else None


def overall_only(entries: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The differences to the baseline over all test rows."""
    return None if entries is None else {name: entry for name, entry in entries.items() if name == metric_of(name)}
