"""Build the stages of an experiment on a worker in another clone, and wait until they are built."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Cancelling, Completed, Failed, State

from flows.clones.commit import commit_of, refuse_changes
from flows.clones.lock_entries import entries_of
from flows.clones.remote import fetch_run_cache, push_results, refuse_no_remote
from flows.subprocesses import StoppedError, stopped
from tasks.core.errors import TunesmithError

DEPLOYMENT = "build/build"

_POLL_S = 2
_ATTEMPTS = 3
_WARN_EVERY_S = 60


def refuse_no_workers(root: Path) -> None:
    """Raise TunesmithError unless stages can be built in other clones: a commit, a remote and the deployment."""
    refuse_no_remote(root)
    commit_of(root)
    refuse_changes(root)
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            raise TunesmithError(
                f"workers: the Prefect server must have the deployment {DEPLOYMENT}; it has none; `tunesmith deploy` "
                "creates it, and `tunesmith worker --pool tunesmith-clones` in another clone runs it"
            ) from None


@task(name="build", task_run_name="build@{experiment}")
def build_on_worker(experiment: str, stages: list[str], reads: list[str], root: Path, turn: Any = None) -> State[Any]:
    """Let a worker build ``stages``; the state is completed once their results are in the run cache of ``root``.

    A run that crashed, since its worker died, is started again, at most ``_ATTEMPTS`` times in all.

    Args:
        reads: stages whose outputs these read; they are built.
        turn: Prefect waits for it, the stages of ``reads``, before the task runs.
    """
    logger = get_run_logger()
    try:
        push_results(root, reads, logger.info)
        parameters = {"stages": stages, "commit": commit_of(root), "lock": entries_of(root, reads)}
        parameters["needed_by"] = flow_run.id
        for attempt in range(1, _ATTEMPTS + 1):
            state = _run(parameters, f"build {experiment}", logger)
            if not state.is_crashed():
                break
            logger.warning("build@%s: attempt %d of %d crashed: %s", experiment, attempt, _ATTEMPTS, state.message)
        if not state.is_completed():
            return Failed(message=f"build@{experiment}: error: {state.message}")
        fetch_run_cache(root, stages, logger.info)
    except (TunesmithError, StoppedError) as error:
        return Failed(message="\n".join(f"build@{experiment}: error: {line}" for line in str(error).splitlines()))
    return Completed(message="built on a worker")


def _run(parameters: Mapping[str, Any], name: str, logger: Any) -> State[Any]:
    """Start a run of the flow ``build``, and return its final state; the end of this flow cancels it."""
    run: Any = run_deployment(DEPLOYMENT, parameters=dict(parameters), timeout=0, flow_run_name=name)
    pool = run.work_pool_name
    logger.info("%s: a worker of the pool %s builds %s", name, pool, ", ".join(parameters["stages"]))
    warned = time.monotonic()
    with get_client(sync_client=True) as client:
        while True:
            state: Any = client.read_flow_run(UUID(str(run.id))).state
            if state is not None and state.is_final():
                return state
            if stopped():
                client.set_flow_run_state(run.id, Cancelling(), force=True)
                raise StoppedError("the flow was stopped")
            if state is not None and state.is_scheduled() and time.monotonic() - warned > _WARN_EVERY_S:
                warned = time.monotonic()
                logger.warning("%s: waits for a worker; start one: `tunesmith worker --pool %s`", name, pool)
            time.sleep(_POLL_S)
