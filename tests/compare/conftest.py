"""A workspace as the stages before ``compare`` leave it, without running any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.compare.compared import Workspace, prediction


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def predict() -> Callable[..., dict[str, Any]]:
    return prediction
