"""Differences of tuned systems to the untuned ones besides the baseline: few-shot prompts and trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.compare.collect import System
from tasks.compare.difference_names import opponent_of


def opponents(system: System, baseline: System | None, compared: Sequence[System]) -> list[System]:
    """The untuned systems that ``system`` is compared with besides the baseline; none if it is untuned itself."""
    if not system.tuned:
        return []
    return [other for other in compared if not other.tuned and other is not baseline and other is not system]


def opponents_of(entries: Mapping[str, Any] | None) -> dict[str, Any]:
    """The differences to other systems: opponent → entry."""
    return {name: entry for key, entry in (entries or {}).items() if (name := opponent_of(key)) is not None}
