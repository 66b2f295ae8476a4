"""Try again after faults of a network or a server, with growing pauses, and never after any other error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from prefect.client.schemas.objects import StateDetails
from prefect.states import Failed, State

from flows.subprocesses import stopped
from tasks.core.errors import TunesmithError
from tasks.core.faults import is_transient

Result = TypeVar("Result")

PAUSES_S = (5.0, 20.0, 60.0)
"""Pauses before the second, third and fourth try: a server that is down for a minute is survived."""

_POLL_S = 0.5


def failed(message: str, transient: bool) -> State[Any]:
    """A failed state that Prefect tries again if the fault is ``transient``."""
    return Failed(message=message, state_details=StateDetails(retriable=transient))


def may_pass(task: Any, run: Any, state: State[Any]) -> bool:
    """Prefect's condition for another try of a task: the fault was transient, and the flow was not stopped."""
    return bool(state.state_details.retriable) and not stopped()


RETRIED: dict[str, Any] = {
    "retries": len(PAUSES_S),
    "retry_delay_seconds": list(PAUSES_S),
    "retry_condition_fn": may_pass,
}
"""Arguments of a Prefect task that returns ``failed``."""


def retried(work: Callable[[], Result], tell: Callable[[str], None]) -> Result:
    """Call ``work`` outside Prefect's tasks; after a transient fault, call ``tell``, wait and call it again.

    Raises:
        TunesmithError: the last fault, or the first that is not transient.
    """
    for number, pause in enumerate(PAUSES_S, start=1):
        try:
            return work()
        except TunesmithError as error:
            if not is_transient(error):
                raise
            tell(f"{error}; try {number + 1} of {len(PAUSES_S) + 1} follows in {pause:.0f} s")
        wait(pause)
    return work()


def wait(seconds: float) -> None:
    """Sleep, but not beyond the end of the flow."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stopped():
        time.sleep(_POLL_S)
