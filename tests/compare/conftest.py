"""A workspace as the stages before ``compare`` leave it, without running any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.compare.compared import SCRIPT, Workspace, prediction


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def predict() -> Callable[..., dict[str, Any]]:
    return prediction


@pytest.fixture
def full(workspace: Workspace, predict: Callable[..., Any]) -> Workspace:
    workspace.experiment("base", [0.2, 0.3, 0.2, 0.3], method="none", validation_loss_per_byte=0.7)
    rows = [predict(f"r{i}", s, completion=SCRIPT) for i, s in enumerate([0.4, 0.6, 0.5, 0.5])]
    workspace.experiment("lora", rows=rows, validation_loss_per_byte=0.5123, finished=0.5)
    workspace.experiment("later", report=False)
    workspace.trivial("lead", [0.1, 0.2, 0.3, 0.2])
    return workspace
