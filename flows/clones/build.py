"""The flow ``build``: build stages in another clone, for the flow of the workspace that started it."""

# No `from __future__ import annotations`: Prefect sends the function to another process without the module, which then
# could not resolve a parameter's type that is written as text.

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows.clones.commit import refuse_other_commit, restore_lock
from flows.clones.lock_entries import put_entries
from flows.clones.remote import pull_outputs, push_results
from flows.crashed import works_on
from flows.dag import read_dag
from flows.failures import flow_failure
from flows.locked import locked
from flows.stages import run_stages
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError

NAME = "build"

Address = Annotated[str, Field(pattern="^[a-z_]+@[a-z0-9_-]+$")]
Commit = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]

_RUNNER: Any = ThreadPoolTaskRunner(max_workers=4)


def _name() -> str:
    names = dict.fromkeys(address.partition("@")[2] for address in flow_run.parameters["stages"])
    return f"{NAME} {', '.join(names)}"


@flow(name=NAME, flow_run_name=_name, task_runner=_RUNNER, persist_result=False)
def build(stages: list[Address], commit: Commit, lock: dict[str, Any], needed_by: UUID | None = None) -> State[Any]:
    """Build stages in this clone, and push the results. The flow retrain starts it; a person rarely does.

    Args:
        stages: stages to build, each after those that it depends on.
        commit: commit of the workspace that needs them; a clone at another commit refuses.
        lock: entries of its dvc.lock for the stages whose outputs these read.
        needed_by: id of the flow run that waits for the results.
    """
    logger = get_run_logger()

    def refuse_own_workspace(root: Path) -> None:
        if needed_by and works_on(root, needed_by):
            raise TunesmithError(
                f"{root}: a run of the flow build needs a clone of its own; this is the workspace of the flow run that "
                "waits for it, so both would wait forever; end this worker, and start `tunesmith worker --pool "
                "tunesmith-clones` in another clone"
            )

    def work(root: Path) -> State[Any]:
        refuse_other_commit(root, commit)
        try:
            return built(root)
        finally:
            restore_lock(root)

    def built(root: Path) -> State[Any]:
        put_entries(root, lock)
        pull_outputs(root, lock, logger.info)
        dag = read_dag(root, logger.warning)
        if unknown := [address for address in stages if address not in dag.graph]:
            raise TunesmithError(f"build: dvc.yaml of {root} has no stage {unknown[0]}; the commits differ")
        states = run_stages(dag, stages, root)
        if failure := flow_failure(states):
            raise TunesmithError(failure)
        push_results(root, stages, logger.info)
        return Completed(message=f"built and pushed {counted(len(stages), 'stage')}")

    return locked(work, logger, refuse_own_workspace)
