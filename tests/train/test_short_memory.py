"""Memory that runs out in a training: the advice, and the training with half the token budget."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.faults import MemoryShortError
from tasks.core.paths import Paths
from tasks.train.halved import HALVE_VARIABLE, was_halved
from tests.train.training_workspace import TRAINING, train, workspace


@pytest.fixture
def paths(tmp_path: Path, tiny_llama: Path) -> Paths:
    return workspace(tmp_path / "workspace", tiny_llama)


def test_half_the_budget_gives_the_weights_of_parameters_that_name_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"training": {"token_budget": TRAINING["token_budget"] // 2, "accumulation": 2}}
    named = files.read_json(train(paths, "named", wanted) / "manifest.json")
    whole = files.read_json(train(paths, "lora", {}) / "manifest.json")
    monkeypatch.setenv(HALVE_VARIABLE, "1")
    halved = files.read_json(train(paths, "lora", {}) / "manifest.json")
    assert halved["weights_sha256"] == named["weights_sha256"]
    assert halved["params"] == whole["params"], "they are those of the experiment, which the registry compares"
    assert halved["computed"] == whole["computed"] | {"token_budget": 128, "accumulation": 2}
    assert halved["key"] != whole["key"] and was_halved(halved) and not was_halved(whole)


def test_half_the_budget_removes_the_checkpoints_of_the_whole_one(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = {"training": {"checkpoint_steps": 1}}
    with monkeypatch.context() as fails, pytest.raises(OSError, match="the disk is gone"):
        fails.setattr("tasks.train.run.outputs.write_model", Mock(side_effect=OSError("the disk is gone")))
        train(paths, "lora", patch)
    assert list(paths.checkpoints.glob("*/checkpoint-*"))
    monkeypatch.setenv(HALVE_VARIABLE, "1")
    train(paths, "lora", patch)
    assert list(paths.checkpoints.iterdir()) == []


def test_a_budget_that_cannot_be_halved_is_refused(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HALVE_VARIABLE, "1")
    with pytest.raises(TunesmithError, match=r"training\.token_budget: must be at least 32 to be halved .* it is 16"):
        train(paths, "small", {"training": {"token_budget": 16}})


def test_memory_that_runs_out_is_an_error_with_the_planners_advice(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.train.run.fit", lambda *_: torch.empty(2**50))
    with pytest.raises(MemoryShortError) as error:
        train(paths, "large", {})
    message = str(error.value)
    assert (
        message.startswith("memory ran out in a training step (RuntimeError: ")
        and "GB were free before the training" in message
    )
    assert "with {training: {token_budget: 128, accumulation: 2}} it needs" in message
    assert not paths.model("large").exists()
