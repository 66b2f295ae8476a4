"""Flow runs whose process is gone are closed, and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow, get_client, task
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.states import Completed, Failed, Pending, Running

from flows.crashed import close_crashed, note_flow
from tasks.tracking.processes import is_gone, this_process

pytestmark = pytest.mark.usefixtures("prefect_server")


@task(name="stage")
def a_task() -> None: ...


@flow(name="retrain")
def a_flow() -> None: ...


@pytest.fixture
def client(prefect_server: None) -> Iterator[Any]:
    with get_client(sync_client=True) as client:
        yield client


def _run(client: Any, folder: Path, note: dict[str, Any], final: bool = False) -> Any:
    """A flow run with two tasks, of which one runs, as a kill leaves it, and its note."""
    run = client.create_flow_run(a_flow, state=Completed() if final else Running())
    for state in (Completed(), Running()):
        client.create_task_run(a_task, run.id, dynamic_key=str(uuid4()), state=state)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{run.id}.json").write_text(json.dumps(note))
    return run.id


def _states(client: Any, run_id: Any) -> tuple[str, list[str]]:
    only = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    tasks = client.read_task_runs(flow_run_filter=only)
    return client.read_flow_run(run_id).state_name, sorted(str(task.state_name) for task in tasks)


def _dead() -> dict[str, Any]:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return this_process() | {"pid": process.pid}


def test_only_runs_of_ended_processes_are_closed_with_their_tasks(tmp_path: Path, client: Any) -> None:
    here = this_process()
    folder = tmp_path / ".tunesmith/flows"
    killed = _run(client, folder, _dead())
    number_reused = _run(client, folder, here | {"uptime": here["uptime"] - 100})
    only_tasks = _run(client, folder, _dead(), final=True)  # as Prefect itself leaves a killed flow that it served
    alive = _run(client, folder, here)
    elsewhere = _run(client, folder, _dead() | {"host": "another machine"})
    (folder / f"{uuid4()}.json").write_text(json.dumps(_dead()))  # of another Prefect server
    (folder / f"{uuid4()}.json").write_text("{")  # half-written
    told: list[str] = []
    assert len(close_crashed(tmp_path, told.append)) == len(told) == 3
    assert all("is gone; closed by the next flow of this workspace" in line for line in told)
    for run_id in (killed, number_reused):
        assert _states(client, run_id) == ("Crashed", ["Completed", "Crashed"])
    assert _states(client, only_tasks) == ("Completed", ["Completed", "Crashed"])
    for run_id in (alive, elsewhere):
        assert _states(client, run_id) == ("Running", ["Completed", "Running"])
    assert close_crashed(tmp_path, told.append) == [] and len(told) == 3
    assert len(list(folder.glob("*.json"))) == 4, "the living, the others', the unknown and the half-written"


def test_a_failed_run_with_tasks_that_never_started_is_no_crash(tmp_path: Path, client: Any) -> None:
    run = client.create_flow_run(a_flow, state=Failed())
    for state in (Failed(), Pending(name="NotReady")):
        client.create_task_run(a_task, run.id, dynamic_key=str(uuid4()), state=state)
    folder = tmp_path / ".tunesmith/flows"
    folder.mkdir(parents=True)
    (folder / f"{run.id}.json").write_text(json.dumps(_dead()))
    told: list[str] = []
    assert close_crashed(tmp_path, told.append) == told == []
    assert _states(client, run.id) == ("Failed", ["Failed", "NotReady"])
    assert list(folder.iterdir()) == []


def test_a_flow_notes_its_own_process(tmp_path: Path) -> None:
    run_id = str(uuid4())
    note_flow(tmp_path, run_id)
    (note,) = (tmp_path / ".tunesmith/flows").glob("*.json")
    assert note.stem == run_id and not is_gone(json.loads(note.read_text()))
