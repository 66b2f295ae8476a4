"""Run the work of a flow alone in its workspace, and turn its errors into the state of the flow run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run
from prefect.states import Failed, State

from flows.crashed import close_crashed, note_flow
from flows.preflight import preflight
from flows.sources.store import recover_all
from flows.subprocesses import allow, stop_all
from flows.workspace import find_root, workspace_lock
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths


def locked(
    work: Callable[[Path], State[Any]], logger: Any, check: Callable[[Path], None] = lambda root: None
) -> State[Any]:
    """Check the parameters, take the workspace's lock, and return the state that ``work`` returns.

    Before it takes the lock, it marks runs of this workspace whose process is gone as crashed. At the end, it stops all
    subprocesses.

    Args:
        work: gets the workspace. Its TunesmithError becomes the message of a failed state.
        check: called with the workspace before the lock is taken; its TunesmithError also becomes the message.
    """
    try:
        root = find_root()
        check(root)
        preflight(Paths(root))
        allow()
        note_flow(root, str(flow_run.id))
        close_crashed(root, logger.warning)
        with workspace_lock(root, f"flow run {flow_run.name}", logger):
            recover_all(root)
            return work(root)
    except TunesmithError as error:
        logger.error(str(error))
        return Failed(message=str(error))
    finally:
        stop_all()


def refuse_failure(state: State[Any]) -> None:
    """Raise TunesmithError with the state's message, if its task did not complete."""
    if not state.is_completed():
        raise TunesmithError(str(state.message))
