"""Two evaluated experiments in a workspace, without running anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.preferences.evaluated import Workspace, prediction


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    workspace.fill()
    return workspace


@pytest.fixture
def predict() -> Callable[..., dict[str, Any]]:
    return prediction
