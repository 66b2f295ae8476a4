"""Close flow runs whose process is gone; Prefect would show them as running forever.

Each flow notes its run, process and machine in ``.tunesmith/flows``. The next flow closes a run only if the noted
process, identified by pid and start time, no longer runs on this machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tasks.core.errors import described
from tasks.core.files import replacing
from tasks.core.paths import Paths
from tasks.tracking.processes import is_gone, this_process

_PAGE = 200
_KEPT_S = 30 * 24 * 3600
_MESSAGE = "its process {pid} on {host} is gone; closed by the next flow of this workspace"


def note_flow(root: Path, run_id: str) -> None:
    """Note that this process works on the flow run ``run_id``."""
    with replacing(_folder(root) / f"{run_id}.json") as temporary:
        temporary.write_text(json.dumps(this_process()))


def works_on(root: Path, run_id: UUID) -> bool:
    """Whether a flow of this workspace works, or worked, on the flow run ``run_id``."""
    return (_folder(root) / f"{run_id}.json").exists()


def close_crashed(root: Path, tell: Callable[[str], None], api: str | None = None) -> list[str]:
    """Set to ``Crashed`` the runs of this workspace whose process is gone, and their tasks; return the runs' names.

    Args:
        tell: gets one line per run that is closed.
        api: address of the Prefect server; by default the one that this process uses. Runs that the server does not
            know are left alone.
    """
    gone = {path: note for path, note in _notes(root) if is_gone(note)}
    if not gone:
        return []
    closed: list[str] = []
    try:
        with _client(api) as client:
            for path, note in gone.items():
                message = _MESSAGE.format(pid=note["pid"], host=note["host"])
                known, name = _close(client, UUID(path.stem), message)
                if name:
                    closed.append(name)
                    tell(f"flow run {name}: {message}")
                if known or time.time() - path.stat().st_mtime > _KEPT_S:
                    path.unlink(missing_ok=True)
    except httpx.HTTPError as error:
        tell(
            f"the Prefect server did not close the flow runs whose process is gone ({described(error)}); "
            "the next flow tries again"
        )
    return closed


def _folder(root: Path) -> Path:
    return Paths(root).state / "flows"


def _notes(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(_folder(root).glob("[!.]*.json")):
        try:
            note = json.loads(path.read_text())
            UUID(path.stem)
        except (OSError, ValueError):
            continue
        yield path, note


def _client(api: str | None) -> Any:
    from prefect.client.orchestration import SyncPrefectClient, get_client

    return SyncPrefectClient(api) if api else get_client(sync_client=True)


def _close(client: Any, run_id: UUID, message: str) -> tuple[bool, str | None]:
    """Return whether the server knows the run, and the run's name if it or one of its tasks was closed."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    try:
        run = client.read_flow_run(run_id)
    except ObjectNotFound:
        return False, None
    only = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    tasks: list[Any] = []
    while page := client.read_task_runs(flow_run_filter=only, limit=_PAGE, offset=len(tasks)):
        tasks += page
    is_open = not (run.state and run.state.is_final())
    # Prefect leaves tasks that depend on a failed one in NotReady forever. In a run that ended, this is not a crash.
    open_tasks = [
        task
        for task in tasks
        if not (task.state and (task.state.is_final() or (task.state.name == "NotReady" and not is_open)))
    ]
    for task in open_tasks:
        client.set_task_run_state(task.id, Crashed(message=message), force=True)
    if is_open:
        client.set_flow_run_state(run_id, Crashed(message=message), force=True)
    return True, run.name if is_open or open_tasks else None
