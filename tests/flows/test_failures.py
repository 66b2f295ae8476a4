"""The messages of failed stages and failed flows."""

from __future__ import annotations

import pytest
from prefect.states import Completed, Failed, Pending

from flows.failures import flow_failure, why
from flows.subprocesses import allow

FAILED = "ERROR: failed to reproduce '{0}': failed to run: python -m tasks.train lora, exited with {1}"


@pytest.fixture(autouse=True)
def running() -> None:
    """An earlier flow in this process has left no sign that it was stopped."""
    allow()


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("train@lora", -9, "most often because the memory ran out; free memory and run again: with equal parameters"),
        ("train@lora", 137, "or apply a change that `tunesmith plan --memory` names; or set memory.on_oom: halve"),
        ("predict@lora", -9, "lower evaluate.generation.token_budget (params/evaluation.yaml) or free memory, and run"),
        ("compare", -9, "most often because the memory ran out; free memory and run again"),
        ("train@lora", -11, "its process was ended by signal 11 (SIGSEGV); read its lines above and run again"),
    ],
)
def test_a_stage_that_a_signal_ended_names_it_with_a_remedy(address: str, code: int, message: str) -> None:
    reason = why(address, ["training 1/4, 3 s left", FAILED.format(address, code)])
    assert reason.startswith(f"{address}: error: ") and message in reason and "\n" not in reason


def test_a_stages_own_errors_come_before_its_signal() -> None:
    lines = ["train@lora: error: one", "noise", "train@lora: error: two", FAILED.format("train@lora", -9)]
    assert why("train@lora", lines) == "train@lora: error: one\ntrain@lora: error: two"


@pytest.mark.parametrize("code", [1, 255, 127])
def test_an_exit_code_is_no_signal(code: int) -> None:
    reason = why("train@lora", ["one", "two", FAILED.format("train@lora", code)])
    assert "signal" not in reason and "one | two | ERROR: failed to reproduce 'train@lora'" in reason


def test_a_flow_names_its_failed_stages_and_the_shortest_reason_first() -> None:
    states = {
        "resolve": Completed(),
        "train@full": Failed(message="train@full: error: " + "long " * 2_000),
        "train@lora": Failed(message="train@lora: error: short"),
        "predict@lora": Pending(name="NotReady"),
    }
    lines = str(flow_failure(states)).splitlines()
    assert lines[0] == "2 stages failed: train@full, train@lora."
    assert lines[1] == "train@lora: error: short." and lines[2].startswith("train@full: error: long")
    assert lines[3] == "not run, since a stage before them failed: predict@lora."
    assert flow_failure({"resolve": Completed()}) is None
