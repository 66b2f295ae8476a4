"""Name a flow run after what it does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

_MOST_NAMES = 5


def run_name(parameters: Mapping[str, Any], day: date | None = None) -> str:
    """The name of a run of the flow ``retrain``, such as ``retrain 2026-12-07: lora, full``.

    Args:
        parameters: of the flow; a missing one has its default.
        day: the day of the run; by default today, in the machine's time zone.
    """
    details = []
    if parameters.get("refresh"):
        details.append("refreshed sources")
    if new_split := parameters.get("new_split"):
        details.append(f"new split of {_listed(new_split)}")
    if not parameters.get("register_model", True):
        details.append("no gate")
    name = f"retrain {day or date.today()}: {_listed(parameters.get('experiments') or ['all'])}"
    return f"{name} ({', '.join(details)})" if details else name


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_NAMES])} and {more} more"
