"""Stages wait for inputs and leases before their Prefect tasks run, and their progress is an artifact of the task."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import networkx as nx
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.runtime import flow_run
from prefect.states import State
from prefect.task_runners import ThreadPoolTaskRunner

from flows import progress, repro, stages, turns
from flows.dag import Dag
from flows.subprocesses import allow, stop_all
from tasks.core.params import write_yaml
from tasks.core.progress import PROGRESS_VARIABLE
from tests.flows.servers import wait_until

pytestmark = pytest.mark.usefixtures("prefect_server")

Command = Callable[[str, Mapping[str, str]], int]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace in which one stage at a time gets a lease."""
    (tmp_path / "params").mkdir()
    write_yaml(tmp_path / "params/training.yaml", {"defaults": {"threads": 1}})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    allow()
    return tmp_path


def _run(
    root: Path, monkeypatch: pytest.MonkeyPatch, edges: list[tuple[str, str]], alone: list[str], command: Command
) -> tuple[UUID, dict[str, State[Any]]]:
    """Run the stages of a DAG, with ``command`` in place of dvc; the id of the flow run and the last states."""
    monkeypatch.setattr(
        repro, "stream", lambda arguments, cwd, on_line, env: command(arguments[-1], env) or on_line("ran") or 0
    )
    graph = nx.DiGraph(edges)
    graph.add_nodes_from(alone)
    dag = Dag(graph, {address: ["new"] for address in graph})

    @flow(name="stages", task_runner=ThreadPoolTaskRunner(max_workers=16), persist_result=False)
    def run_all() -> tuple[UUID, dict[str, State[Any]]]:
        return UUID(str(flow_run.id)), stages.run_stages(dag, dag.order, root)

    return run_all()


def _task_runs(run: UUID) -> dict[str, Any]:
    """Name → task run of a flow run, once Prefect has stored the last state of each."""

    def all_stored() -> dict[str, Any] | None:
        with get_client(sync_client=True) as client:
            runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
        return {one.name: one for one in runs} if runs and all(one.state.is_final() for one in runs) else None

    return wait_until(all_stored, 30, "the tasks' last states")  # type: ignore[no-any-return]


def _states(task_run: UUID) -> list[Any]:
    with get_client(sync_client=True) as client:
        return client.read_task_run_states(task_run)


def test_the_second_of_two_stages_with_one_lease_starts_after_the_end_of_the_first(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = _run(root, monkeypatch, [], ["train@full", "train@lora"], lambda *_: time.sleep(2) or 0)
    first, second = sorted(_task_runs(run).values(), key=lambda task_run: task_run.start_time)
    assert {first.name, second.name} == {"train@full", "train@lora"}
    assert second.start_time >= first.end_time
    assert 2 <= second.total_run_time.total_seconds() < 4, "the time of work alone"
    waiting = _states(second.id)
    assert [state.name for state in waiting] == ["Pending", "AwaitingProcessor", "Running", "Completed"]
    assert waiting[1].type == "PENDING" and "waits for a processor or GPU" in waiting[1].message
    assert [state.name for state in _states(first.id)] == ["Pending", "Running", "Completed"]


def test_stages_whose_inputs_are_ready_run_side_by_side_and_others_wait(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting, waiting_shown = threading.Barrier(2), threading.Event()
    show = turns._show
    monkeypatch.setattr(turns, "_show", lambda state: show(state) or waiting_shown.set())

    def command(address: str, _: Mapping[str, str]) -> int:
        if address != "compare":
            meeting.wait(60)  # breaks, and so fails the stage, if the other one does not run
            return 0 if waiting_shown.wait(60) else 1
        return 0

    run, states = _run(root, monkeypatch, [("score@a", "compare"), ("score@b", "compare")], [], command)
    assert all(state.is_completed() for state in states.values())
    runs = _task_runs(run)
    assert runs["compare"].start_time >= max(runs["score@a"].end_time, runs["score@b"].end_time)
    waiting = _states(runs["compare"].id)[1]
    assert (waiting.name, waiting.message) == ("AwaitingInputs", "waits for score@a, score@b")


def test_many_stages_share_one_lease_without_a_deadlock(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More stages than threads, each predicting after its training, and each with the only lease while it runs."""
    names = [f"x{number}" for number in range(10)]
    running, most = [0], [0]

    def command(address: str, _: Mapping[str, str]) -> int:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        running[0] -= 1
        return 0

    edges = [(f"train@{name}", f"predict@{name}") for name in names]
    _, states = _run(root, monkeypatch, edges, [], command)
    assert len(states) == 20 and all(state.is_completed() for state in states.values())
    assert most == [1]


def test_a_stage_behind_a_failed_one_says_so_and_takes_no_lease(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(address: str, _: Mapping[str, str]) -> int:
        return 1 if address == "train@a" else 0

    run, states = _run(root, monkeypatch, [("train@a", "predict@a")], ["train@b"], command)
    assert states["train@a"].is_failed() and states["train@b"].is_completed()
    behind = _task_runs(run)["predict@a"]
    assert behind.state.name == "NotRun" and behind.flow_run_id == run and behind.total_run_time.total_seconds() == 0
    assert behind.state.message == "predict@a: not run, since it depends on train@a"
    assert states["predict@a"].name == "NotReady", "Prefect's own state, on which no task that depends on it runs"


def test_the_end_of_a_flow_ends_the_wait_for_a_lease(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(address: str, _: Mapping[str, str]) -> int:
        time.sleep(1.5)  # the other stage waits by now
        stop_all()
        return 1

    started = time.monotonic()
    try:
        _, states = _run(root, monkeypatch, [], ["train@a", "train@b"], command)
    finally:
        allow()
    assert all(state.is_failed() for state in states.values()) and time.monotonic() - started < 30


def _report(address: str, variables: Mapping[str, str]) -> int:
    """A stage that reports its progress twice."""
    file = Path(variables[PROGRESS_VARIABLE])
    entry = {"description": "training", "done": 3, "total": 12, "unit": "steps", "seconds_left": 9, "note": "loss 2.5"}
    file.write_text(json.dumps(entry))
    time.sleep(1)
    file.write_text(json.dumps({**entry, "done": 12}))
    return 0


def test_progress_is_an_artifact_of_the_task(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.2)
    shown: list[float] = []
    update = progress.update_progress_artifact
    monkeypatch.setattr(progress, "update_progress_artifact", lambda i, p, d: shown.append(p) or update(i, p, d))
    run, _ = _run(root, monkeypatch, [], ["train@lora"], _report)
    with get_client(sync_client=True) as client:
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        (artifact,) = client.read_artifacts(artifact_filter=of_run)
    assert (artifact.key, artifact.type, artifact.data) == ("progress-train-lora", "progress", 100)
    assert artifact.description == "training: 12 of 12 steps, loss 2.5"
    assert artifact.task_run_id == _task_runs(run)["train@lora"].id
    assert shown == [100], "one creation at 25, and one update"
    assert list((root / ".tunesmith/progress").iterdir()) == []


@pytest.mark.parametrize("slow", [False, True])
def test_a_server_that_does_not_answer_neither_fails_nor_delays_a_stage(
    root: Path, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    ended = threading.Event()

    def create(*_: object) -> None:
        if slow:
            ended.wait(60)
        raise ConnectionError("the server does not answer")

    monkeypatch.setattr(progress, "_EVERY_S", 0.1)
    monkeypatch.setattr(progress, "_LAST_UPDATE_S", 0.5)
    monkeypatch.setattr(progress, "create_progress_artifact", create)
    _, states = _run(root, monkeypatch, [], ["train@lora"], _report)
    ended.set()
    assert states["train@lora"].is_completed()
