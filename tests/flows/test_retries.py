"""A flow tries again after transient faults, with pauses, and after no other error; memory is halved once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.runtime import flow_run
from prefect.states import State

from flows import repro, retries
from flows.failures import killed_for_memory, lacked_memory
from flows.stages import run_stage
from flows.steps import run_step
from flows.subprocesses import allow
from tasks.core.errors import TunesmithError
from tasks.core.faults import MEMORY_EXIT, TRANSIENT_EXIT, TransientError
from tasks.core.params import write_yaml
from tasks.train.halved import HALVE_VARIABLE

pytestmark = pytest.mark.usefixtures("prefect_server")

EXITED = "ERROR: failed to reproduce 'train@lora': failed to run: python -m tasks.train lora, exited with {}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params").mkdir()
    write_yaml(tmp_path / "params/training.yaml", {"memory": {"on_oom": "halve"}})
    allow()
    return tmp_path


def _train(root: Path, monkeypatch: pytest.MonkeyPatch, codes: list[int]) -> tuple[list[str], list[Mapping[str, str]]]:
    """Run train@lora with the exit codes in turn, without pauses; the names of its states, and each try's variables."""
    tries: list[Mapping[str, str]] = []

    def stream(command: list[str], cwd: Path, on_line: Callable[[str], None], env: Mapping[str, str]) -> int:
        code = codes[len(tries)]
        tries.append(env)
        if code:
            on_line("train@lora: error: something")
            on_line(EXITED.format(code))
        return 255 if code else 0

    monkeypatch.setattr(repro, "stream", stream)

    @flow(name="stages", persist_result=False)
    def run() -> UUID:
        run_stage.with_options(retry_delay_seconds=0.1)("train@lora", root, return_state=True)
        return UUID(str(flow_run.id))

    return _states(run()), tries


def _states(run: UUID) -> list[str]:
    end = time.monotonic() + 30
    with get_client(sync_client=True) as client:
        while time.monotonic() < end:
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
            if tasks and tasks[0].state is not None and tasks[0].state.is_final():
                return [str(state.name) for state in client.read_task_run_states(tasks[0].id)]
            time.sleep(0.2)
    raise AssertionError("the task has no final state")


def test_a_transient_fault_is_tried_again_and_prefect_shows_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states, tries = _train(root, monkeypatch, [TRANSIENT_EXIT, TRANSIENT_EXIT, 0])
    assert len(tries) == 3 and states[-1] == "Completed"
    assert states.count("AwaitingRetry") == 2
    assert not any(HALVE_VARIABLE in variables for variables in tries)


def test_a_server_that_stays_down_fails_after_the_last_try(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states, tries = _train(root, monkeypatch, [TRANSIENT_EXIT] * 9)
    assert len(tries) == len(retries.PAUSES_S) + 1 and states[-1] == "Failed"


@pytest.mark.parametrize("code", [1, -11, 130])
def test_other_errors_are_never_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    states, tries = _train(root, monkeypatch, [code] * 9)
    assert len(tries) == 1 and states[-1] == "Failed"


def test_memory_that_ran_out_is_tried_once_more_with_half_the_budget(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, tries = _train(root, monkeypatch, [MEMORY_EXIT, 0])
    assert [HALVE_VARIABLE in variables for variables in tries] == [False, True] and states[-1] == "Completed"
    states, tries = _train(root, monkeypatch, [MEMORY_EXIT] * 9)
    assert len(tries) == 2 and states[-1] == "Failed"


def test_memory_that_ran_out_fails_by_default(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_yaml(root / "params/training.yaml", {})
    states, tries = _train(root, monkeypatch, [MEMORY_EXIT] * 9)
    assert len(tries) == 1 and states[-1] == "Failed"


def test_a_killed_process_lacked_memory_only_if_the_kernel_counts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = killed_for_memory()
    assert killed is not None and not lacked_memory([EXITED.format(-9)], killed), "somebody else killed it"
    assert lacked_memory([EXITED.format(137)], killed - 1) and lacked_memory([EXITED.format(-9)], None)
    assert lacked_memory([EXITED.format(MEMORY_EXIT)], killed) and not lacked_memory([EXITED.format(1)], None)


def test_a_step_is_tried_again_after_a_transient_fault_only(root: Path) -> None:
    calls: list[str] = []

    def fail(error: Exception) -> Callable[[Any], None]:
        def work(_: Any) -> None:
            calls.append("called")
            if len(calls) == 1:
                raise error

        return work

    @flow(name="steps", persist_result=False)
    def run(error: Exception) -> State[Any]:
        state: State[Any] = run_step.with_options(retry_delay_seconds=0.1)(
            "tracking", fail(error), root, return_state=True
        )
        calls.append(str(state.name))
        return state

    run(TransientError("the tracking server must answer"), return_state=True)
    assert calls == ["called", "called", "Completed"]
    calls.clear()
    run(TunesmithError("wrong"), return_state=True)
    assert calls == ["called", "Failed"]


def test_work_outside_a_task_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    told: list[str] = []
    monkeypatch.setattr(retries, "wait", waited.append)

    def fail() -> None:
        raise TransientError("hub: no answer")

    with pytest.raises(TransientError):
        retries.retried(fail, told.append)
    assert waited == [*retries.PAUSES_S] and sum(waited) > 60
    assert told[0] == "hub: no answer; try 2 of 4 follows in 5 s"
    with pytest.raises(TunesmithError, match="wrong"):
        retries.retried(lambda: (_ for _ in ()).throw(TunesmithError("wrong")), told.append)
    assert len(waited) == 3
