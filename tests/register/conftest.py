from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.paths import Paths
from tasks.tracking.client import VARIABLE, open_store
from tests.tracking.ledger_workspace import candidate_workspace


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        root = tmp_path_factory.mktemp("store")
        open_store(root)
    return root / "mlflow.db"


@pytest.fixture
def paths(tmp_path: Path, empty_store: Path) -> Paths:
    """A workspace in which the candidate lora beats base on every row, and an empty registry."""
    return candidate_workspace(tmp_path / "workspace", empty_store)
