"""Name a flow run after what it does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from prefect.states import State

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
    if parameters.get("workers"):
        details.append("on workers")
    if not parameters.get("register_model", True):
        details.append("no gate")
    name = f"{dated('retrain', day)}: {_listed(parameters.get('experiments') or ['all'])}"
    return f"{name} ({', '.join(details)})" if details else name


def dated(flow: str, day: date | None = None) -> str:
    """The name of a flow and the day, such as ``evaluate-champion 2026-12-07``; by default today."""
    return f"{flow} {day or date.today()}"


def add_to_name(words: str) -> None:
    """Append ``words`` in brackets to the name of the current flow run.

    Prefect's lists show the name, but not the message of the state. By default they hide states with custom names.
    """
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run

    with get_client(sync_client=True) as client:
        client.set_flow_run_name(UUID(str(flow_run.id)), f"{flow_run.name} ({words})")


def skipped(reason: str, more: str = "") -> State[Any]:
    """The state of a flow run that had nothing to do; the run's name tells it too, with ``more`` words."""
    from prefect.states import Completed

    add_to_name(f"skipped{more}")
    return Completed(name="Cached", message=reason)


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_NAMES])} and {more} more"
