"""The Prefect tasks of the stages: each runs one stage with DVC, streams its log and names why it failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import Task, get_run_logger, task
from prefect.futures import PrefectConcurrentFuture
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from flows.clones.remote import is_fault_of_remote
from flows.dag import Dag
from flows.failures import killed_for_memory, lacked_memory, was_transient, why
from flows.leases import needs_lease
from flows.progress import shown
from flows.repro import repro
from flows.retries import RETRIED, failed
from flows.subprocesses import StoppedError, stopped
from flows.turns import Turn
from tasks.core.facts import FLOW_RUN_VARIABLE
from tasks.core.paths import Paths
from tasks.core.stage import RESTORE_VARIABLE
from tasks.memory.params import load_limits
from tasks.train.halved import HALVE_VARIABLE

_UNCHANGED = ("didn't change, skipping", "is cached - skipping run")


@dataclass(frozen=True)
class Elsewhere:
    """Stages that are built in other clones before this workspace restores their results.

    Attributes:
        groups: experiment → its stages, in order; one worker builds all of them.
        build: the task that builds a group: experiment, stages, stages that these read, workspace, turn.
    """

    groups: Mapping[str, list[str]]
    build: Task[..., Any]


def run_stages(dag: Dag, pending: list[str], root: Path, elsewhere: Elsewhere | None = None) -> dict[str, State[Any]]:
    """Run each stage in a task, once its inputs are built and a lease is free; return the last state of each.

    Args:
        pending: addresses, each after those that it depends on.
        elsewhere: stages that other clones build, with a task ``build@X`` per experiment.
    """
    groups = {} if elsewhere is None else elsewhere.groups
    group_of = {address: f"build@{name}" for name, stages in groups.items() for address in stages}
    futures: dict[str, PrefectConcurrentFuture[Any]] = {}

    def submit(address: str, work: Task[..., Any], arguments: list[Any], above: Iterable[str]) -> None:
        upstream = {name: futures[name] for name in above if name in futures}
        turn = Turn(address, root, upstream, needs_lease(address) and address not in group_of)
        future: Any = work.submit(*arguments, turn, return_state=False, wait_for=[*upstream.values()])
        future.add_done_callback(turn.end)
        futures[address] = future

    for address in dag.in_groups(pending, group_of):
        if elsewhere is not None and (build := group_of.get(address)) and build not in futures:
            name = build.partition("@")[2]
            reads = dag.read_by(groups[name])
            submit(build, elsewhere.build, [name, groups[name], reads, root], reads)
        above = [*dag.upstream(address), *([group_of[address]] if address in group_of else [])]
        submit(address, restore_stage if address in group_of else run_stage, [address, root], above)
    for future in futures.values():
        future.wait()
    states: dict[str, State[Any]] = {address: future.state for address, future in futures.items()}
    return {a: state for a, state in states.items() if a in dag.graph or not state.is_completed()}


@task(name="stage", task_run_name="{address}", **RETRIED)
def restore_stage(address: str, root: Path, variables: Mapping[str, str] | None = None) -> State[Any]:
    """Restore the outputs of a stage that another clone built; fail if its results are not in DVC's run cache."""
    lines: list[str] = []
    state = _repro(address, root, {**(variables or {}), RESTORE_VARIABLE: "1"}, ["--pull"], lines)
    if not state.is_completed() and is_fault_of_remote(line for line in lines if line.startswith("ERROR")):
        return failed(str(state.message), transient=True)
    return state


@task(name="stage", task_run_name="{address}", **RETRIED)
def run_stage(address: str, root: Path, variables: Mapping[str, str] | None = None) -> State[Any]:
    """Bring one stage up to date with ``dvc repro --single-item``; its log is streamed to this task's log.

    The state is named ``Cached`` if nothing had to run. The message of a failure is the stage's own error. States are
    returned, not raised, since a traceback of this code would bury that error. After a fault of a network or a server,
    Prefect tries again. A training whose memory ran out is tried once more if ``memory.on_oom`` is ``halve``.

    Args:
        variables: environment variables that bind the stage to its GPUs; a flow passes the stage's ``Turn``.
    """
    if needs_lease(address):
        with shown(address, root) as progress:
            return _trained_or_halved(address, root, {**(variables or {}), **progress})
    return _repro(address, root, variables or {})


def _trained_or_halved(address: str, root: Path, variables: Mapping[str, str]) -> State[Any]:
    killed = killed_for_memory()
    lines: list[str] = []
    state = _repro(address, root, variables, seen=lines)
    if state.is_completed() or not (address.startswith("train@") and lacked_memory(lines, killed)):
        return state
    if load_limits(Paths(root).params / "training.yaml").on_oom != "halve":
        return state
    get_run_logger().warning(
        "%s: memory ran out; it is tried once more with half the token budget and twice the accumulation", address
    )
    return _repro(address, root, {**variables, HALVE_VARIABLE: "1"})


def _repro(
    address: str,
    root: Path,
    variables: Mapping[str, str],
    options: Sequence[str] = (),
    seen: list[str] | None = None,
) -> State[Any]:
    """Run ``dvc repro``; put the stage's log also into ``seen``."""
    logger = get_run_logger()

    def on_line(line: str) -> None:
        if line.startswith(f"{address}: ") or not stopped():  # of a stopped stage dvc prints a long traceback
            logger.info(line)

    try:
        code, lines = repro(
            address,
            root,
            {**variables, FLOW_RUN_VARIABLE: str(flow_run.id or "")},
            on_line,
            lambda line: logger.warning("%s: %s", address, line),
            options,
        )
    except StoppedError:
        return Failed(message=f"{address}: error: not started, since the flow was stopped")
    if seen is not None:
        seen += lines
    if code != 0:
        return failed(why(address, lines), was_transient(lines))
    cached = any(text in line for line in lines for text in _UNCHANGED)
    return Completed(message="nothing had changed", name="Cached") if cached else Completed(message="built")
