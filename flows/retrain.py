"""The flow ``retrain``: run DVC's stale stages as Prefect tasks, then complete MLflow and run the gate."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.crashed import close_crashed, note_flow
from flows.dag import read_dag
from flows.dvc_lock import is_busy, wait_for_others
from flows.new_split import counts, refuse_new_splits
from flows.preflight import preflight
from flows.sources.fetched import fetched_names, refuse_unfetched
from flows.sources.refresh import Fetched, fetch_and_check, replace
from flows.sources.store import recover_all
from flows.steps import run_step
from flows.subprocesses import StoppedError, allow, stop_all, stopped, stream
from flows.summary import markdown_summary
from flows.workspace import find_root, lease, workspace_lock
from tasks.compare.params import CompareParams
from tasks.core.errors import TunesmithError
from tasks.core.facts import FLOW_RUN_VARIABLE
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.register.params import RegistrationParams
from tasks.resolve.bases import refuse_missing_bases
from tasks.resolve.check import mapping
from tasks.tuning.params import load_params
from tasks.tuning.untrained import is_trained

_LEASED = ("train@", "predict@", "benchmark@")
"""Stages that compute with a model: each holds a GPU or a share of the processor."""

_UNCHANGED = ("didn't change, skipping", "is cached - skipping run")
# Lines that dvc prints after every stage.
_CHATTER = (
    "To track the changes with git",
    "git add ",
    "To enable auto staging",
    "dvc config core.autostage",
    "Use `dvc push`",
)


@task(name="stage", task_run_name="{address}")
def run_stage(address: str, root: Path) -> State[Any]:
    """Bring one stage up to date with ``dvc repro --single-item``; its log is streamed to this task's log.

    The state is named ``Cached`` if nothing had to run. The message of a failure is the stage's own error. States are
    returned, not raised, since a traceback of this code would bury that error.
    """
    if address.startswith(_LEASED):
        logger = get_run_logger()
        with lease(
            root,
            _gpus(address, root),
            lambda: logger.info("%s: waits for a processor or GPU that other experiments use", address),
        ) as variables:
            return _repro(address, root, variables)
    return _repro(address, root, {})


def _gpus(address: str, root: Path) -> int:
    """The number of GPUs that a stage needs; a training may run in several processes on this node."""
    step, name = address.split("@")
    resolved = Paths(root).experiment(name) / "train.yaml"
    if step != "train" or not resolved.exists():
        return 1
    return load_params(resolved).processes_per_node


def _repro(address: str, root: Path, variables: dict[str, str]) -> State[Any]:
    logger = get_run_logger()
    # Without --wait-for-lock, dvc gives up after 3 s if another process holds its lock: a finished training is lost.
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", address]
    while True:
        lines: list[str] = []

        def on_line(line: str, lines: list[str] = lines) -> None:
            lines.append(line)
            if not _is_chatter(line, lines) and (line.startswith(f"{address}: ") or not stopped()):
                logger.info(line)

        try:
            ended = stream(command, root, on_line, variables | {FLOW_RUN_VARIABLE: str(flow_run.id or "")})
        except StoppedError:
            return Failed(message=f"{address}: error: not started, since the flow was stopped")
        if ended == 0 or stopped() or not is_busy(lines):
            break
        wait_for_others(root, lambda line: logger.warning("%s: %s", address, line), stopped)
    if ended != 0:
        return Failed(message=_why(address, lines))
    cached = any(text in line for line in lines for text in _UNCHANGED)
    return Completed(message="nothing had changed", name="Cached") if cached else Completed(message="built")


def _is_chatter(line: str, lines: list[str]) -> bool:
    """Whether to hide a line: dvc prints it after every stage, or ``wait_for_others`` reports the same better."""
    return line.strip().startswith(_CHATTER) or is_busy(lines)


def _why(address: str, lines: list[str]) -> str:
    errors = [line for line in lines if line.startswith(f"{address}: error: ")]
    if not errors and stopped():  # a stage that is stopped during its imports prints only a traceback
        return f"{address}: error: ended, since the flow was stopped"
    return "\n".join(errors or [f"{address}: error: {' | '.join(lines[-3:])}"])


def _complete_mlflow(paths: Paths) -> None:
    from tasks.tracking.sync import sync

    for result in sync(paths):
        state = "completed" if result.changed else "up to date"
        logging.getLogger("tunesmith").info("%s: %s (MLflow run %s)", result.experiment, state, result.run_id)


def _run_gate(paths: Paths) -> None:
    from tasks.register.run import run

    run(load(RegistrationParams, paths.params / "registration.yaml", "registration"), paths)


_RUNNER: Any = ThreadPoolTaskRunner(max_workers=16)  # leases, not this number, limit the heavy stages


@flow(name="retrain", task_runner=_RUNNER, persist_result=False)
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
    from tasks.tracking.flow_run import record_flow

    open_store(root)  # create it here once, before several stages would do so at the same time
    dag = read_dag(root, logger.warning)
    within = dag.needed_for({*experiments, *_opponents(root)}) if experiments else None
    pending = dag.pending(within)
    cached = [address for address in dag.order if address not in pending and (within is None or address in within)]
    logger.info("%d stages to run, %d cached", len(pending), len(cached))
    # Check before the first stage: a missing folder would otherwise end the run after hours of other trainings.
    refuse_missing_bases(Paths(root), {address.partition("@")[2] for address in pending if address.startswith(_LEASED)})
    futures: dict[str, PrefectFuture[Any]] = {}
    for address in pending:
        wait_for = [futures[above] for above in dag.upstream(address) if above in futures]
        futures[address] = run_stage.submit(address, root, return_state=False, wait_for=wait_for)
    states = {address: _final_state(future) for address, future in futures.items()}
    # Log finished experiments to MLflow even if another experiment failed.
    mlflow = run_step("tracking", _complete_mlflow, root, return_state=True)
    _refuse_failures(states | {"tracking": mlflow})
    if register_model:
        _refuse_failure(run_step("register", _run_gate, root, return_state=True))
    record_flow(Paths(root), str(flow_run.id), str(flow_run.name))
    built = [address for address, state in states.items() if state.name != "Cached"]
    cached += [address for address, state in states.items() if state.name == "Cached"]
    create_markdown_artifact(
        key="comparison",
        description="Scores of all experiments on the same test rows, and what ran",
        markdown=markdown_summary(root, built, cached, register_model),
    )
    return Completed(message=f"{len(built)} stages built, {len(cached)} cached")


def _opponents(root: Path) -> set[str]:
    """The experiments that all others are compared with: the baselines and the untuned experiments."""
    params = Paths(root).params
    experiments = mapping(params / "experiments.yaml", "experiments")
    untuned = {name for name, experiment in experiments.items() if not is_trained(experiment["method"])}
    compared = load(CompareParams, params / "evaluation.yaml", "compare").baseline
    return {*untuned, compared, load(RegistrationParams, params / "registration.yaml", "registration").baseline}


def _final_state(future: PrefectFuture[Any]) -> State[Any]:
    future.wait()
    return future.state


def _refuse_failure(state: State[Any]) -> None:
    if not state.is_completed():
        raise TunesmithError(str(state.message))


def _refuse_failures(states: dict[str, State[Any]]) -> None:
    """Raise one error with the messages of all failed stages and the names of the stages that depend on them."""
    broken = [state for state in states.values() if state.is_failed() or state.is_crashed()]
    if not broken:
        return
    lines = [str(state.message) for state in broken]
    behind = [address for address, state in states.items() if not (state.is_completed() or state in broken)]
    if behind:
        lines.append(f"not run, since they depend on it: {', '.join(behind)}")
    raise TunesmithError("\n".join([*lines, "what was finished stays; correct this and run again"]))
