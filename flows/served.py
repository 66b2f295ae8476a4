"""Read the schedule from the Prefect server: whether it is served, its next runs, and which runs are late."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx

from flows.schedules import in_zone, next_runs
from flows.server_logs import failures, log_of
from flows.workspace import answers, running_prefect
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths

NAME = "retrain/retrain"
_POLLED_WITHIN = timedelta(seconds=30)  # the process that serves a flow polls every 10 s
_LATE_AFTER = timedelta(seconds=60)
_MADE_AHEAD = timedelta(days=100)  # Prefect's scheduler creates no run that is further ahead


@dataclass(frozen=True)
class Served:
    """The deployment of the flow ``retrain``.

    Attributes:
        cron: the schedule; None without one.
        zone: time zone of ``cron``.
        paused: whether somebody switched it off in the Prefect UI.
        polled: whether a process (``tunesmith schedule``) polls for its runs now.
        coming: start times of the scheduled runs, in the schedule's zone.
        late: start times of runs that are overdue by a minute or more.
        pool: the work pool whose workers start the runs; None if ``tunesmith schedule`` serves them.
    """

    deployment_id: UUID
    cron: str | None
    zone: str
    paused: bool
    polled: bool
    coming: list[datetime] = field(default_factory=list)
    late: list[datetime] = field(default_factory=list)
    pool: str | None = None

    @property
    def remedy(self) -> str:
        """The command that starts its runs."""
        return "`tunesmith schedule`" if self.pool is None else f"`tunesmith worker --pool {self.pool}`"


def api_url() -> str | None:
    """The API of the Prefect server, if one is set and answers."""
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    return url if url and answers(f"{url}/health") else None


def look(count: int = 3) -> Served | None:
    """Read the deployment from the Prefect server in ``PREFECT_API_URL``; None if the server has none.

    Args:
        count: number of coming runs to return.

    Raises:
        TunesmithError: nothing answers at that address, or not a Prefect server.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    try:
        with get_client(sync_client=True) as client:
            try:
                deployment = client.read_deployment_by_name(NAME)
            except ObjectNotFound:
                return None
            with_cron = [entry for entry in deployment.schedules if getattr(entry.schedule, "cron", None)]
            entry = next((entry for entry in with_cron if entry.active), with_cron[0] if with_cron else None)
            zone = getattr(entry and entry.schedule, "timezone", None) or "UTC"
            waiting = _waiting(client, deployment.id, count)
            times = [run.next_scheduled_start_time.astimezone(ZoneInfo(zone)) for run in waiting]
    except httpx.HTTPError as error:
        raise TunesmithError(
            f"PREFECT_API_URL: the Prefect server at {os.environ.get('PREFECT_API_URL')} must answer; "
            f"it does not ({type(error).__name__}: {error})"
        ) from None
    now = datetime.now(UTC)
    return Served(
        deployment.id,
        getattr(entry and entry.schedule, "cron", None),
        zone,
        paused=deployment.paused or (entry is not None and not entry.active),
        polled=deployment.last_polled is not None and now - deployment.last_polled < _POLLED_WITHIN,
        coming=[start for start in times if start > now][:count],
        late=[start for start in times if start < now - _LATE_AFTER],
        pool=deployment.work_pool_name,
    )


def hindrance(root: Path, state: Served) -> str | None:
    """Why a served, unpaused schedule does not fire, with the errors in the server's log; None if it fires."""
    if state.late:
        return f"{counted(len(state.late), 'run')} should have started by now, the first at {in_zone(state.late[0])}"
    if state.coming or state.cron is None:
        return None
    if next_runs(state.cron, state.zone, 1)[0] - datetime.now(UTC) > _MADE_AHEAD:
        return None
    if running_prefect(root) is None:
        return "the Prefect server creates no runs for it; read that server's log"
    log = log_of(root, "Prefect")
    errors = [failure.line("Prefect", log) for failure in failures(log)]
    return "\n".join(["the Prefect server creates no runs for it", *(errors or [f"its log is {log}"])])


def delete_command(name: str) -> str:
    """The command that removes a deployment; Prefect's own commands do not know the server of a workspace."""
    return f"PREFECT_API_URL={os.environ.get('PREFECT_API_URL', '')} prefect deployment delete {name}"


def refuse_served(command: str) -> None:
    """Raise TunesmithError if ``tunesmith schedule`` serves the flow now: its deployment would be replaced."""
    state = look()
    if state is not None and state.polled and state.pool is None:
        raise TunesmithError(
            f"{command}: `tunesmith schedule` serves the flow retrain on this server now; end it with Ctrl-C first, "
            "since a worker takes its place"
        )


def _waiting(client: Any, deployment: UUID, count: int) -> list[Any]:
    """Scheduled runs that have not started, the earliest first; at most 100 + ``count``."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    waiting = filters.FlowRunFilter(
        state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        deployment_id=filters.FlowRunFilterDeploymentId(any_=[deployment]),
    )
    runs = client.read_flow_runs(
        flow_run_filter=waiting, sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC, limit=100 + count
    )
    return [run for run in runs if run.next_scheduled_start_time]


def drop_missed(deployment: UUID, overdue: timedelta = timedelta(0)) -> int:
    """Delete the scheduled runs that are ``overdue``, since all would start at once; return their number."""
    from prefect.client.orchestration import get_client

    dropped = 0
    with get_client(sync_client=True) as client:
        while missed := [
            run.id
            for run in _waiting(client, deployment, 0)
            if run.auto_scheduled and run.next_scheduled_start_time < datetime.now(UTC) - overdue
        ]:
            for run in missed:
                client.delete_flow_run(run)
            dropped += len(missed)
    return dropped


def drop_missed_of_pool(pool: str) -> int:
    """``drop_missed`` for the deployments of a work pool, unless a worker polls it, for which runs may wait."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    with get_client(sync_client=True) as client:
        if any(worker.status == "ONLINE" for worker in client.read_workers_for_work_pool(pool)):
            return 0
        of_pool = client.read_deployments(work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])))
    return sum(drop_missed(deployment.id, _LATE_AFTER) for deployment in of_pool)


def pause(deployment: UUID) -> None:
    """Stop the server from making further runs, if it still answers. Serving the flow again resumes the deployment."""
    from prefect.client.orchestration import get_client

    with contextlib.suppress(httpx.HTTPError), get_client(sync_client=True) as client:
        client.pause_deployment(deployment)


def note_of(root: Path) -> Path:
    """Path of the file in which ``write_note`` stores the schedule."""
    return Paths(root).state / "schedule.json"


def write_note(root: Path, cron: str, zone: str) -> None:
    """Store the schedule, so that ``tunesmith status`` can report it if a restart of the machine ended it."""
    note = {"cron": cron, "timezone": zone}
    note_of(root).parent.mkdir(parents=True, exist_ok=True)
    note_of(root).write_text(json.dumps(note))


def read_note(root: Path) -> dict[str, str] | None:
    """``cron`` and ``timezone`` as ``write_note`` stored them; None if nothing is stored."""
    try:
        note = json.loads(note_of(root).read_text())
        return {"cron": str(note["cron"]), "timezone": str(note["timezone"])}
    except (OSError, ValueError, KeyError):
        return None


def own_server(root: Path) -> bool:
    """Whether the Prefect server in use is the one that ``tunesmith ui`` started for this workspace."""
    return running_prefect(root) == os.environ.get("PREFECT_API_URL")
