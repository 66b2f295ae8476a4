"""The flow ``retrain``: run DVC's stale stages as Prefect tasks, then complete MLflow and run the gate."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.approval_request import request_approval
from flows.bases import pin_bases
from flows.crashed import close_crashed, note_flow
from flows.dag import read_dag
from flows.failures import flow_failure
from flows.leases import needs_lease
from flows.new_split import counts, refuse_new_splits
from flows.preflight import preflight
from flows.run_names import run_name
from flows.sources.fetched import fetched_names, refuse_unfetched
from flows.sources.refresh import Fetched, fetch_and_check, replace
from flows.sources.store import recover_all
from flows.stages import run_stages
from flows.steps import run_step
from flows.subprocesses import allow, stop_all
from flows.summary import markdown_summary
from flows.workspace import find_root, workspace_lock
from tasks.compare.params import CompareParams
from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.register.params import RegistrationParams
from tasks.resolve.__main__ import rewritten
from tasks.resolve.bases import refuse_missing_bases
from tasks.resolve.check import mapping
from tasks.tuning.untrained import is_trained


def _complete_mlflow(paths: Paths) -> None:
    from tasks.tracking.sync import sync

    for result in sync(paths):
        state = "completed" if result.changed else "up to date"
        logging.getLogger("tunesmith").info("%s: %s (MLflow run %s)", result.experiment, state, result.run_id)


def _run_gate(paths: Paths) -> None:
    from tasks.register.run import run

    run(load(RegistrationParams, paths.params / "registration.yaml", "registration"), paths)


_RUNNER: Any = ThreadPoolTaskRunner(max_workers=16)  # leases, not this number, limit the heavy stages


def _name() -> str:
    return run_name(flow_run.parameters)


@flow(name="retrain", flow_run_name=_name, task_runner=_RUNNER, persist_result=False)
def retrain(
    experiments: list[str] | None = None,
    register_model: bool = True,
    new_split: list[str] | None = None,
    refresh: bool = False,
) -> State[Any]:
    """Bring the workspace up to date, complete MLflow, and let the gate decide about a new champion.

    Args:
        experiments: names in params/experiments.yaml to train and evaluate; by default all.
        register_model: run the gate, and move the alias ``champion`` if it accepts the candidate.
        new_split: sources whose rows may be split anew if their split changed or is lost; ``all`` names every source.
            A run that would split other sources anew fails before anything runs.
        refresh: first bring the fetched sources up to date (params/sources.yaml: fetched). If one cannot be fetched or
            fails a check, the run fails before anything is replaced or trained.
    """
    logger = get_run_logger()
    try:
        root = find_root()
        preflight(Paths(root))
        allow()
        note_flow(root, str(flow_run.id))
        close_crashed(root, logger.warning)
        with workspace_lock(root, f"flow run {flow_run.name}", logger):
            recover_all(root)
            splits = refuse_new_splits(Paths(root), new_split)
            if refresh:
                _refresh(root, logger)
            refuse_unfetched(root)
            state = _retrain(root, experiments or None, register_model, logger)
            for line in counts(Paths(root), splits):
                logger.warning(line)
            return state
    except TunesmithError as error:
        logger.error(str(error))
        return Failed(message=str(error))
    finally:
        stop_all()


def _refresh(root: Path, logger: Any) -> None:
    """Fetch and check every fetched source, one task each; if all pass, replace those with changes.

    Raises:
        TunesmithError: with the problems of all sources. No source is replaced then.
    """
    fetched: list[Fetched] = []

    def fetch(name: str) -> State[Any]:
        return run_step(
            f"refresh@{name}", lambda paths: fetched.append(fetch_and_check(paths.root, name)), root, return_state=True
        )

    names = fetched_names(root)
    if not names:
        logger.warning("refresh: params/sources.yaml names no source under `fetched`")
    problems = [str(state.message) for state in map(fetch, names) if not state.is_completed()]
    if problems:
        raise TunesmithError("\n".join([*problems, "no source was replaced and nothing was trained"]))
    for one in fetched:
        if one.folder is not None:
            replaced = run_step(f"replace@{one.name}", partial(_replace, one), root, return_state=True)
            _refuse_failure(replaced)


def _replace(fetched: Fetched, paths: Paths) -> None:
    replace(paths.root, fetched)


def _retrain(root: Path, experiments: list[str] | None, register_model: bool, logger: Any) -> State[Any]:
    from tasks.tracking.client import open_store

    open_store(root)  # create it here once, before several stages would do so at the same time
    chosen = {*experiments, *_opponents(root)} if experiments else None
    pin_bases(root, logger.info, chosen)
    dag = read_dag(root, logger.warning)
    within = dag.needed_for(chosen) if chosen else None
    pending = dag.pending(within)
    if pin_bases(root, logger.info, chosen, dag.changed_trainings(rewritten(Paths(root)))):
        dag = read_dag(root, logger.warning)
        pending = dag.pending(within)
    cached = [address for address in dag.order if address not in pending and (within is None or address in within)]
    logger.info("%d stages to run, %d cached", len(pending), len(cached))
    # Check before the first stage: a missing folder would otherwise end the run after hours of other trainings.
    refuse_missing_bases(Paths(root), {address.partition("@")[2] for address in pending if needs_lease(address)})
    states = run_stages(dag, pending, root)
    # Log finished experiments to MLflow even if another experiment failed.
    mlflow = run_step("tracking", _complete_mlflow, root, return_state=True)
    if failure := flow_failure(states | {"tracking": mlflow}):
        raise TunesmithError(failure)
    if register_model:
        _refuse_failure(run_step("register", _run_gate, root, return_state=True))
        request_approval(root, logger)
    _refuse_failure(run_step("report", _write_report, root, return_state=True))
    built = [address for address, state in states.items() if state.name != "Cached"]
    cached += [address for address, state in states.items() if state.name == "Cached"]
    create_markdown_artifact(
        key="comparison",
        description="Scores of all experiments on the same test rows, and what ran",
        markdown=markdown_summary(root, built, cached, register_model),
    )
    run = str(flow_run.id), str(flow_run.name)
    _refuse_failure(run_step("record", partial(_record, *run), root, return_state=True))
    return Completed(message=f"{len(built)} stages built, {len(cached)} cached")


def _record(flow_run_id: str, name: str, paths: Paths) -> None:
    from tasks.register.verdict import result_on_present
    from tasks.tracking.flow_run import record_flow

    record_flow(paths, flow_run_id, name, result_on_present(paths))


def _write_report(paths: Paths) -> None:
    from tasks.report.run import is_current, run

    if not is_current(paths):
        run(paths)


def _opponents(root: Path) -> set[str]:
    """The experiments that all others are compared with: the baselines and the untuned experiments."""
    params = Paths(root).params
    experiments = mapping(params / "experiments.yaml", "experiments")
    untuned = {name for name, experiment in experiments.items() if not is_trained(experiment["method"])}
    compared = load(CompareParams, params / "evaluation.yaml", "compare").baseline
    return {*untuned, compared, load(RegistrationParams, params / "registration.yaml", "registration").baseline}


def _refuse_failure(state: State[Any]) -> None:
    if not state.is_completed():
        raise TunesmithError(str(state.message))
