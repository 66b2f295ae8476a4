"""At the end of a retrain: start the flow ``approve`` for the version that awaits approval, if a process serves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.by_hand import awaiting_version, commands

DEPLOYMENT = "approve/approve"
_POLLED_WITHIN = timedelta(seconds=30)  # the process that serves a flow polls every 10 s
_WAITING = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED")


def request_approval(root: Path, logger: Any) -> None:
    """Start a run of the deployment ``approve`` for the version that awaits approval, unless one waits for it already.

    Without such a deployment, the log names the command that decides.
    """
    number = awaiting_version(root)
    if number is None:
        return
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    decide = commands(number)
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            deployment = None
        if deployment is None or not _is_served(deployment):
            logger.warning("version %d awaits approval: %s", number, decide)
            return
        if _waits(client, deployment.id, number):
            logger.info("version %d awaits approval; a run of the flow approve waits for a person already", number)
            return
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"version": number})
        name = f"approve version {number}"
        client.set_flow_run_name(run.id, name)
        logger.warning("version %d awaits approval: resume the flow run %r, or %s", number, name, decide)


def _is_served(deployment: Any) -> bool:
    """Whether a process polls for runs of the deployment now."""
    return deployment.last_polled is not None and datetime.now(UTC) - deployment.last_polled < _POLLED_WITHIN


def _waits(client: Any, deployment: Any, number: int) -> bool:
    """Whether a run of the deployment that has not ended is about this version."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    waiting = filters.FlowRunFilter(
        state=filters.FlowRunFilterState(
            type=filters.FlowRunFilterStateType(any_=[StateType[name] for name in _WAITING])
        ),
        deployment_id=filters.FlowRunFilterDeploymentId(any_=[deployment]),
    )
    return any(run.parameters.get("version") == number for run in client.read_flow_runs(flow_run_filter=waiting))
