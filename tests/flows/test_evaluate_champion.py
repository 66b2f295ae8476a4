"""The flow ``evaluate-champion``: skipped, drift, and a run that fails before it has told anybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.states import State

from flows import evaluate_champion as flow
from flows import events
from tasks.core import files
from tasks.core.paths import Paths
from tasks.register.people import promote_by_hand
from tasks.registry.result import Person
from tasks.tracking.sync import sync
from tests.workspaces import copy_workspace, edit

pytestmark = pytest.mark.usefixtures("prefect_server")

Enter = Callable[[Path], None]


@pytest.fixture
def paths(tmp_path: Path, built_workspace: Path, inside: Enter) -> Paths:
    root = copy_workspace(built_workspace, tmp_path / "workspace")
    for name in ("mlflow.db", "mlartifacts"):  # MLflow keeps the artifacts of a run id in memory: each test has its own
        files.remove(root / name)
    inside(root)
    edit(root, "evaluation", lambda p: p["verdicts"].update(min_groups=6))
    return Paths(root)


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(events, "_emit", lambda name, *_: names.append(name))
    return names


def _champion(paths: Paths) -> None:
    sync(paths)
    promote_by_hand("lora", Person("Ada", "trial"), flow.load_registration(paths.root), paths)


def _run() -> tuple[State[Any], str]:
    """The state of a run, and its name at the end."""
    state = flow.evaluate_champion(return_state=True)
    run_id = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])))
    return state, run.name


def test_without_a_champion_the_run_is_skipped(paths: Paths) -> None:
    state, name = _run()
    assert (state.name, state.message) == ("Cached", "there is no champion yet") and name.endswith("(skipped)")


def test_the_same_result_is_told_once(paths: Paths, emitted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _champion(paths)
    edit(paths.root, "evaluation", lambda p: p["drift"].update(length=0.0001, confidence=0.01))
    record = flow._record
    monkeypatch.setattr(flow, "_record", lambda result, paths: 1 / 0)
    state, _ = _run()
    assert state.is_failed() and not paths.drift.exists() and emitted == [], "it failed before it told anybody"
    monkeypatch.setattr(flow, "_record", record)
    state, name = _run()
    assert state.is_completed() and "drift of words per input" in str(state.message) and name.endswith("(drift)")
    assert emitted == ["champion.drifts"] and files.read_json(paths.drift)["drift"]
    state, name = _run()
    assert state.name == "Cached" and name.endswith("(skipped, drift)") and emitted == ["champion.drifts"]
