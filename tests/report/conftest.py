"""A workspace as the stages before ``compare`` leave it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compare.compared import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)
