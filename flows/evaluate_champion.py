"""The flow ``evaluate-champion``: evaluate the champion on the present test rows, and report drift."""

# No `from __future__ import annotations`: Prefect sends the function to another process without the module, which then
# could not resolve a parameter's type that is written as text.

from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from prefect.states import Completed, State

from flows.by_hand import complete_interrupted, load_registration
from flows.dag import Dag, read_dag
from flows.events import emit_drift
from flows.failures import flow_failure
from flows.locked import locked, refuse_failure
from flows.new_split import refuse_new_splits
from flows.refresh import refresh_sources
from flows.retries import retried
from flows.run_names import add_to_name, dated, skipped
from flows.sources.fetched import refuse_unfetched
from flows.stages import run_stages
from flows.steps import run_step
from flows.summary import markdown_drift
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.drift.stored import read_stored, store
from tasks.registry.verdict import Result

NAME = "evaluate-champion"


def _name() -> str:
    return dated(NAME)


@flow(name=NAME, flow_run_name=_name, persist_result=False)
def evaluate_champion(refresh: bool = False) -> State[Any]:
    """Evaluate the champion on the present test rows and its planned benchmarks, and report drift. Nothing is trained.

    Args:
        refresh: first bring the fetched sources up to date (params/sources.yaml: fetched), so that new test rows come
            in.
    """
    logger = get_run_logger()
    return locked(lambda root: _evaluate(root, refresh, logger), logger)


def _evaluate(root: Path, refresh: bool, logger: Any) -> State[Any]:
    from tasks.register.people import registry_state

    paths, registration = Paths(root), load_registration(root)
    retried(lambda: complete_interrupted(root), logger.warning)
    champion = retried(lambda: registry_state(registration, paths), logger.warning)["champion"]
    if champion is None:
        return skipped("there is no champion yet")
    refuse_new_splits(paths, None)
    if refresh:
        refresh_sources(root, logger)
    refuse_unfetched(root)
    dag = read_dag(root, logger.warning)
    wanted = {"resolve", "evaluation_set"}
    data = dag.pending(wanted.union(*(nx.ancestors(dag.graph, address) for address in wanted)))
    states = run_stages(dag, [*data, *_benchmark(dag, champion, paths, logger)], root)
    if failure := flow_failure(states):
        raise TunesmithError(failure)
    before = read_stored(paths)
    examined: list[Result] = []
    refuse_failure(run_step("champion", partial(_examine, examined), root, return_state=True))
    (result,) = examined
    create_markdown_artifact(
        key="champion", description="The champion on the present test rows", markdown=markdown_drift(root, result)
    )
    if before is not None and _without_time(before) == _without_time(result):
        return skipped(f"nothing new: {result['summary']}", ", drift" if result["drift"] else "")
    refuse_failure(run_step("record", partial(_record, result), root, return_state=True))
    emit_drift(registration.model_name, result, before)
    store(result, paths)  # last, so that a run that fails before is repeated
    if result["drift"]:
        add_to_name("drift")
    return Completed(message=result["summary"])


def _benchmark(dag: Dag, champion: dict[str, Any], paths: Paths, logger: Any) -> list[str]:
    """The stage of the champion's planned benchmarks, if it must run and ``models/X`` holds the champion."""
    name = str(champion["experiment"])
    address, manifest = f"benchmark@{name}", paths.model(name) / "manifest.json"
    if address not in dag.stale:
        return []
    if not manifest.exists() or files.read_json(manifest)["key"] != champion["key"]:
        logger.warning("%s: skipped; models/%s must hold the champion; it holds another model or none", address, name)
        return []
    return [address]


def _examine(examined: list[Result], paths: Paths) -> None:
    from tasks.drift.run import run

    result = run(load_registration(paths.root), paths)
    if result is None:
        raise TunesmithError("the champion's alias was removed while this ran; run again")
    examined.append(result)


def _record(result: Result, paths: Paths) -> None:
    from tasks.tracking.flow_run import record_drift

    record_drift(paths, str(flow_run.id), str(flow_run.name), result)


def _without_time(result: Result) -> Result:
    return {name: value for name, value in result.items() if name != "time"}
