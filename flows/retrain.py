"""The flow ``retrain``: run DVC's stale stages as Prefect tasks, then complete MLflow and run the gate."""

# No `from __future__ import annotations`: Prefect sends the function to another process without the module, which then
# could not resolve a parameter's type that is written as text.

import logging
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows.approval_request import request_approval
from flows.bases import pin_bases
from flows.by_hand import complete_interrupted, load_registration
from flows.clones.dispatch import build_on_worker, refuse_no_workers
from flows.dag import read_dag
from flows.events import emit_decision
from flows.failures import flow_failure
from flows.leases import needs_lease
from flows.locked import locked, refuse_failure
from flows.new_split import counts, refuse_new_splits
from flows.refresh import refresh_sources
from flows.retries import retried
from flows.run_names import run_name, skipped
from flows.sources.fetched import refuse_unfetched
from flows.stages import Elsewhere, run_stages
from flows.steps import run_step
from flows.summary import markdown_summary
from tasks.compare.params import CompareParams
from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.registry.verdict import last_result, repeats
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

    run(load_registration(paths.root), paths)


Name = Annotated[str, Field(pattern="^[a-z0-9_-]+$")]
"""Name of an experiment or a source: the form refuses any other text before a run begins."""

_RUNNER: Any = ThreadPoolTaskRunner(max_workers=16)  # leases, not this number, limit the heavy stages


def _name() -> str:
    return run_name(flow_run.parameters)


@flow(name="retrain", flow_run_name=_name, task_runner=_RUNNER, persist_result=False)
def retrain(
    experiments: list[Name] | None = None,
    register_model: bool = True,
    new_split: list[Name] | None = None,
    refresh: bool = False,
    workers: bool = False,
) -> State[Any]:
    """Bring the workspace up to date, complete MLflow, and let the gate decide about a new champion.

    Args:
        experiments: names in params/experiments.yaml to train and evaluate; by default all.
        register_model: run the gate, and move the alias ``champion`` if it accepts the candidate.
        new_split: sources whose rows may be split anew if their split changed or is lost; ``all`` names every source.
            A run that would split other sources anew fails before anything runs.
        refresh: first bring the fetched sources up to date (params/sources.yaml: fetched). If one cannot be fetched or
            fails a check, the run fails before anything is replaced or trained.
        workers: train, predict and benchmark in other clones, one flow run per experiment (docs/workers.md). Their
            results come here through DVC's remote.
    """
    logger = get_run_logger()

    def work(root: Path) -> State[Any]:
        splits = refuse_new_splits(Paths(root), new_split)
        if refresh:
            refresh_sources(root, logger)
        refuse_unfetched(root)
        if workers:
            refuse_no_workers(root)
        state = _retrain(root, experiments or None, register_model, workers, logger)
        for line in counts(Paths(root), splits):
            logger.warning(line)
        return state

    return locked(work, logger)


def _retrain(root: Path, experiments: list[str] | None, register_model: bool, workers: bool, logger: Any) -> State[Any]:
    from tasks.tracking.client import open_store

    # Create it here once, before several stages would do so at the same time.
    retried(lambda: open_store(root), logger.warning)
    retried(lambda: complete_interrupted(root), logger.warning)  # before the champion is read as a base
    chosen = {*experiments, *_opponents(root)} if experiments else None
    retried(lambda: pin_bases(root, logger.info, chosen), logger.warning)
    dag = read_dag(root, logger.warning)
    within = dag.needed_for(chosen) if chosen else None
    pending = dag.pending(within)
    changed = dag.changed_trainings(rewritten(Paths(root)))
    if retried(lambda: pin_bases(root, logger.info, chosen, changed), logger.warning):
        dag = read_dag(root, logger.warning)
        pending = dag.pending(within)
    cached = [address for address in dag.order if address not in pending and (within is None or address in within)]
    logger.info("%d stages to run, %d cached", len(pending), len(cached))
    # Check before the first stage: a missing folder would otherwise end the run after hours of other trainings.
    refuse_missing_bases(Paths(root), {address.partition("@")[2] for address in pending if needs_lease(address)})
    states = run_stages(dag, pending, root, _elsewhere(pending) if workers else None)
    # Log finished experiments to MLflow even if another experiment failed.
    mlflow = run_step("tracking", _complete_mlflow, root, return_state=True)
    if failure := flow_failure(states | {"tracking": mlflow}):
        raise TunesmithError(failure)
    decided = register_model and _decide(root, logger)
    refuse_failure(run_step("report", _write_report, root, return_state=True))
    built = [address for address, state in states.items() if state.name != "Cached"]
    cached += [address for address, state in states.items() if state.name == "Cached"]
    create_markdown_artifact(
        key="comparison",
        description="Scores of all experiments on the same test rows, and what ran",
        markdown=markdown_summary(root, built, cached, register_model),
    )
    run = str(flow_run.id), str(flow_run.name)
    refuse_failure(run_step("record", partial(_record, *run), root, return_state=True))
    if not built and not decided:
        return skipped(f"nothing new: all {len(cached)} stages are up to date")
    return Completed(message=f"{len(built)} stages built, {len(cached)} cached")


def _elsewhere(pending: list[str]) -> Elsewhere:
    """The stages that compute with a model, by experiment."""
    groups: dict[str, list[str]] = {}
    for address in filter(needs_lease, pending):
        groups.setdefault(address.partition("@")[2], []).append(address)
    return Elsewhere(groups, build_on_worker)


def _decide(root: Path, logger: Any) -> bool:
    """Let the gate decide, and request the approval of a person where it needs one; return whether this is news."""
    before = last_result(Paths(root))
    refuse_failure(run_step("register", _run_gate, root, return_state=True))
    result = last_result(Paths(root))
    is_news = result is not None and not repeats(result, before)
    if result is not None and is_news:
        emit_decision(result)
    request_approval(root, logger)
    return is_news


def _record(flow_run_id: str, name: str, paths: Paths) -> None:
    from tasks.registry.verdict import result_on_present
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
