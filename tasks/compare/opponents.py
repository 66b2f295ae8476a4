"""Differences of tuned systems to the untuned ones besides the baseline: few-shot prompts and trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.compare.collect import System

_AGAINST = " against "


def opponents(system: System, baseline: System | None, compared: Sequence[System]) -> list[System]:
    """The untuned systems that ``system`` is compared with besides the baseline; none if it is untuned itself."""
    if not system.tuned:
        return []
    return [other for other in compared if not other.tuned and other is not baseline and other is not system]


def named(metric: str, opponent: str) -> str:
    """The name of a difference in ``metric`` to another system than the baseline."""
    return f"{metric}{_AGAINST}{opponent}"


def metric_of(name: str) -> str:
    """The metric of a difference, which may be one to another system than the baseline."""
    return name.partition(_AGAINST)[0]


def without_opponents(entries: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The differences to the baseline alone."""
    return None if entries is None else {name: entry for name, entry in entries.items() if _AGAINST not in name}


def opponents_of(entries: Mapping[str, Any] | None) -> dict[str, Any]:
    """The differences to other systems: opponent → entry."""
    return {name.partition(_AGAINST)[2]: entry for name, entry in (entries or {}).items() if _AGAINST in name}
