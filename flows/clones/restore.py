"""The flow ``restore``: bring back, in a new clone, all outputs of this commit from DVC's remote."""

# No `from __future__ import annotations`: Prefect sends the function to another process without the module, which then
# could not resolve a parameter's type that is written as text.

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.states import Completed, State

from flows.clones.remote import pull_all
from flows.dag import Dag, read_dag
from flows.locked import locked, refuse_failure
from flows.run_names import dated
from flows.steps import run_step
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths

NAME = "restore"


def _name() -> str:
    return dated(NAME)


@flow(name=NAME, flow_run_name=_name, persist_result=False)
def restore() -> State[Any]:
    """Bring back the sources, and all outputs that dvc.lock names, from DVC's remote; then complete MLflow.

    Nothing is computed. The run fails if the remote lacks something.
    """
    logger = get_run_logger()
    return locked(lambda root: _restore(root, logger), logger)


def _restore(root: Path, logger: Any) -> State[Any]:
    pull_all(root, logger.info)
    dag = read_dag(root, logger.warning)
    if missing := _missing_inputs(dag):
        raise TunesmithError(
            f"{root}: inputs that are in neither git nor DVC must be copied by hand: {', '.join(missing)}; copy them "
            "from another clone, then run restore again"
        )
    if dag.stale:
        first = ", ".join(list(dag.stale)[:5])
        raise TunesmithError(
            f"dvc.lock: must match the parameters and code of this commit; it does not: {first} must run again "
            f"({counted(len(dag.stale), 'stage')} in all); run the flow retrain, then commit dvc.lock"
        )
    refuse_failure(run_step("tracking", _complete_mlflow, root, return_state=True))
    return Completed(message=f"restored {counted(len(dag.order), 'stage')}")


def _missing_inputs(dag: Dag) -> list[str]:
    """Files and folders that stages read and that do not exist, such as a local base model."""
    deleted = {
        reason.removeprefix("deleted ")
        for reasons in dag.stale.values()
        for reason in reasons
        if reason.startswith("deleted ") and not reason.startswith("deleted output ")
    }
    return sorted(deleted)


def _complete_mlflow(paths: Paths) -> None:
    from tasks.tracking.sync import sync

    sync(paths)
