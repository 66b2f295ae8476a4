"""``tunesmith deploy``: the deployments of the flows, their work pools and automations."""

from __future__ import annotations

from flows.terminal import say, workspace, write
from flows.workspace import refuse_silent_prefect
from tasks.core.errors import TunesmithError


def deploy() -> None:
    """Apply infra/prefect.yaml to the Prefect server: deployments with schedules, work pools, automations."""
    root = workspace()
    refuse_silent_prefect()
    from flows import served

    if served.api_url() is None:
        raise TunesmithError(
            "deploy: a Prefect server must run, and none does for this workspace; start one with `make ui`, or set "
            "PREFECT_API_URL"
        )
    from flows.deploy.apply import deploy as apply

    apply(root, write, say)
