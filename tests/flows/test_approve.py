"""The flow ``approve``: it pauses without the workspace lock, and a person's answer through Prefect's API decides."""

from __future__ import annotations

import subprocess
import sys
import threading
from ast import literal_eval
from pathlib import Path
from typing import Any
from uuid import UUID

import cloudpickle
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.flow_runs import resume_flow_run
from prefect.states import State

from flows import approval_request, retries
from flows import approve as module
from flows.approval_request import request_approval
from flows.approve import approve
from flows.by_hand import decide_by_hand
from flows.retrain import retrain
from flows.workspace import workspace_lock
from tasks.core.faults import TransientError
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.register.run import run
from tasks.registry import keep, run_note
from tasks.registry.decisions import decisions
from tasks.tracking.client import open_store
from tasks.tracking.tag_names import GATE
from tests.flows.servers import wait_until
from tests.tracking.ledger_workspace import candidate_workspace

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def paths(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, inside: Any) -> Paths:
    """A workspace whose candidate the gate has accepted, and which awaits approval."""
    paths = candidate_workspace(tmp_path / "workspace", empty_store)
    (paths.root / "dvc.yaml").write_text("stages: {}\n")
    keys = {"min_groups": 2, "approval": "manual"}
    write_yaml(paths.params / "registration.yaml", {"registration": keys})
    (paths.comparison / "scores.png").write_bytes(b"\x89PNG")
    inside(paths.root)
    monkeypatch.setattr(module, "_POLL_S", 1)
    run(RegistrationParams.model_validate(keys), paths)
    return paths


class Log:
    """A logger that keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str, *values: object) -> None:
        self.warnings.append(message % values)

    def info(self, message: str, *values: object) -> None: ...


def aliases(paths: Paths) -> dict[str, int]:
    model = open_store(paths.root).client.get_registered_model("tunesmith")
    return {name: int(number) for name, number in model.aliases.items()}


def waiting() -> UUID | None:
    """The id of the flow run that is paused."""
    paused = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Paused"])))
    with get_client(sync_client=True) as client:
        return next((one.id for one in client.read_flow_runs(flow_run_filter=paused)), None)


def answered(paths: Paths, **answer: Any) -> State[Any]:
    """Run the flow in a thread, and resume it with ``answer`` as the form of the UI does."""
    states: list[State[Any]] = []
    thread = threading.Thread(target=lambda: states.append(approve(return_state=True)))
    thread.start()
    run_id = wait_until(waiting, 90, "the flow run to pause")
    with workspace_lock(paths.root, "another retrain"):  # it waits without the lock
        artifacts = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        with get_client(sync_client=True) as client:
            (artifact,) = client.read_artifacts(artifact_filter=artifacts)
        assert "### Version 1 awaits approval" in artifact.data
        assert "- passed: ROUGE-1: better than base (baseline): +30.0" in artifact.data.replace("\\", "")
        assert "data:image/png;base64," in artifact.data and "tunesmith approve 1" in artifact.data
    resume_flow_run(run_id, run_input=answer)
    thread.join(90)
    assert not thread.is_alive()
    return states[0]


@pytest.mark.parametrize(
    ("served", "parameters"), [(approve, {"version": 1}), (retrain, {"experiments": ["lora"], "refresh": True})]
)
def test_a_served_flow_checks_its_parameters_in_another_process(served: Any, parameters: dict[str, Any]) -> None:
    """Prefect's runner pickles a flow for the process that runs it."""
    code = "import sys, cloudpickle; flow = cloudpickle.load(sys.stdin.buffer)"
    command = [sys.executable, "-c", f"{code}; print(flow.validate_parameters({parameters!r}))"]
    ended = subprocess.run(command, input=cloudpickle.dumps(served), capture_output=True, check=True)
    assert parameters.items() <= literal_eval(ended.stdout.decode()).items()


def test_a_person_approves_through_the_api(paths: Paths) -> None:
    state = answered(paths, approve=True, why="all rows read", who="Ada")
    assert state.is_completed() and state.message == "lora accepted: tunesmith version 1 is now the champion"
    assert aliases(paths) == {"champion": 1}
    last = decisions(paths)[-1]
    assert (last["action"], last["by"], last["why"]) == ("approve", "Ada", "all rows read")


def test_an_answer_outlives_a_server_that_fails(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "PAUSES_S", (0.1,))
    faults = [TransientError("MLflow at http://x answers 503")]

    def decide(*arguments: Any) -> None:
        if faults:
            raise faults.pop()
        decide_by_hand(*arguments)

    monkeypatch.setattr(module, "decide_by_hand", decide)
    state = answered(paths, approve=True, why="all rows read", who="Ada")
    assert state.message == "lora accepted: tunesmith version 1 is now the champion" and not faults
    assert decisions(paths)[-1]["by"] == "Ada"


@pytest.mark.parametrize(
    ("approve_it", "verdict", "left"), [(True, "accepted", {"champion": 1}), (False, "rejected", {})]
)
def test_a_decision_that_a_fault_interrupts_is_completed(
    approve_it: bool, verdict: str, left: dict[str, int], paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tracking server fails after the registry was changed and before the run got its note."""
    monkeypatch.setattr(retries, "PAUSES_S", (0.1,))
    faults = [TransientError("MLflow at http://x answers 503")]

    def note(*arguments: Any) -> None:
        if faults:
            raise faults.pop()
        run_note.note(*arguments)

    monkeypatch.setattr(keep, "note", note)
    state = answered(paths, approve=approve_it, why="all rows read", who="Ada")
    assert state.is_completed() and not faults, state.message
    assert aliases(paths) == left
    made = [(one["verdict"], one["by"], one["why"]) for one in decisions(paths)[1:]]
    assert made == [(verdict, "Ada", "all rows read")]
    tracker = open_store(paths.root)
    noted = [one.data.tags.get(GATE) for one in tracker.client.search_runs([tracker.experiment_id])]
    assert noted.count(verdict) == 1


def test_no_is_the_default_of_the_form(paths: Paths) -> None:
    state = answered(paths, why="too formal", who="Ada")
    assert state.is_completed() and state.message == "lora (version 1) was rejected; there is no champion yet"
    assert aliases(paths) == {}


def test_without_an_answer_the_version_is_rejected(paths: Paths) -> None:
    state = approve(hours=2 / 3600, return_state=True)
    assert state.is_completed(), state.message
    last = decisions(paths)[-1]
    assert (last["verdict"], last["by"]) == ("rejected", "the flow approve")
    assert last["why"] == "nobody decided within 0.000555556 hours"
    assert approve(return_state=True).message == "no version awaits approval"


def test_a_retrain_starts_one_run_of_a_served_approval(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    request_approval(paths.root, log)
    assert log.warnings == [
        "version 1 awaits approval: `tunesmith approve 1 --why TEXT` or `tunesmith reject 1 --why TEXT`"
    ]

    @flow(name="approve")
    def served(version: int) -> None: ...

    deployment = served.to_deployment("approve")
    deployment.apply()
    request_approval(paths.root, log)
    assert log.warnings[1] == log.warnings[0], "a deployment that no process serves cannot ask anybody"
    monkeypatch.setattr(approval_request, "_is_served", lambda deployment: True)
    try:
        request_approval(paths.root, log)
        request_approval(paths.root, log)
        assert len(log.warnings) == 3 and "resume the flow run 'approve version 1'" in log.warnings[2]
        with get_client(sync_client=True) as client:
            stored = client.read_deployment_by_name("approve/approve")
            (waits,) = [one for one in client.read_flow_runs() if one.deployment_id == stored.id]
        assert waits.parameters == {"version": 1}
    finally:
        with get_client(sync_client=True) as client:
            client.delete_deployment(client.read_deployment_by_name("approve/approve").id)
