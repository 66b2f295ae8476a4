"""Apply ``infra/prefect.yaml``, ``infra/work-pools.yaml`` and ``infra/automations.yaml`` to the Prefect server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.utilities.urls import url_for

from flows import served
from flows.clones.dispatch import DEPLOYMENT
from flows.deploy import deployments
from flows.deploy.automations import apply_automations
from flows.deploy.deployments import Deployment, read_deployments
from flows.deploy.pools import ensure_pools
from flows.schedules import in_zone, next_runs
from tasks.core.errors import TunesmithError

Say = Callable[[str], None]

TAG = "tunesmith"


def deploy(root: Path, say: Say, progress: Say) -> None:
    """Create or update work pools, deployments and automations on the server of ``PREFECT_API_URL``.

    Args:
        say: prints what exists now.
        progress: prints each step.

    Raises:
        TunesmithError: a file is wrong, or Prefect refuses it.
    """
    progress(f"checking {deployments.FILE}")
    wanted = read_deployments(root)
    served.refuse_served("deploy")
    ensure_pools(root, [one.pool for one in wanted], say)
    progress("deploying the flows")
    _prefect_deploy(root)
    for one in wanted:
        _drop_schedules(one)
        _show(one, say)
    for name in _others({one.name for one in wanted}):
        say(
            f"{name}: is on the server, but not in {deployments.FILE}; if no other workspace uses it, remove it with "
            f"`{served.delete_command(name)}`"
        )
    apply_automations(root, say)
    for line in worker_commands(wanted):
        say(line)


def worker_commands(deployments: Iterable[Deployment]) -> list[str]:
    """For each work pool, the command that starts its worker. The pool of ``build`` needs one in another clone."""
    pools = {one.name: one.pool for one in deployments}
    build = pools.pop(DEPLOYMENT, None)
    here = list(dict.fromkeys(pools.values()))
    lines = [f"start a worker in this workspace:  tunesmith worker --pool {pool}" for pool in here]
    if build is not None and build not in here:
        lines.append(
            f"the runs of build need a worker of their own (docs/workers.md):  tunesmith worker --pool {build}"
        )
    return lines


def _prefect_deploy(root: Path) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", deployments.FILE]
    ended = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode:
        raise TunesmithError(f"{root / deployments.FILE}: Prefect refuses it:\n{ended.stdout.strip()}")


def _drop_schedules(deployment: Deployment) -> None:
    """Remove the schedules that the server keeps of a deployment without schedules, since Prefect leaves them."""
    if deployment.schedules:
        return
    with get_client(sync_client=True) as client:
        stored = client.read_deployment_by_name(deployment.name)
        for schedule in client.read_deployment_schedules(stored.id):
            client.delete_deployment_schedule(stored.id, schedule.id)


def _show(deployment: Deployment, say: Say) -> None:
    with get_client(sync_client=True) as client:
        page = url_for("deployment", obj_id=client.read_deployment_by_name(deployment.name).id)
    say(f"{deployment.name}: {page}")
    for schedule in deployment.schedules:
        if schedule.active:
            (run,) = next_runs(schedule.cron, schedule.zone, 1)
            say(f"  {schedule.cron!r} of {schedule.zone}, next {in_zone(run)}")
        else:
            say(f"  {schedule.cron!r} of {schedule.zone}, not active")


def _others(wanted: set[str]) -> list[str]:
    """Names of the deployments with Tunesmith's tag that are not ``wanted``."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    with get_client(sync_client=True) as client:
        tagged = client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))
        names = [f"{client.read_flow(one.flow_id).name}/{one.name}" for one in tagged]
    return sorted(name for name in names if name not in wanted)
