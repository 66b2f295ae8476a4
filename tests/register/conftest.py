from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.paths import Paths
from tests.tracking.ledger_workspace import candidate_workspace


@pytest.fixture
def paths(tmp_path: Path, empty_store: Path) -> Paths:
    """A workspace in which the candidate lora beats base on every row, and an empty registry."""
    return candidate_workspace(tmp_path / "workspace", empty_store)
