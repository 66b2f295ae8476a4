from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.paths import Paths
from tasks.tracking.client import Tracker, open_store
from tests.tracking.ledger_workspace import LOCK, add_comparison, add_experiment, copy_store


@pytest.fixture
def paths(tmp_path: Path, empty_store: Path) -> Paths:
    """A workspace with the experiments base and lora, evaluated and compared, and an empty store."""
    paths = Paths(tmp_path / "workspace")
    add_experiment(paths, "base", [0.2, 0.3, 0.1], method="none")
    add_experiment(paths, "lora", [0.4, 0.5, 0.6])
    add_comparison(paths, "lora", "base", "lora")
    (paths.root / "dvc.lock").write_text(LOCK)
    copy_store(empty_store, paths.root)
    return paths


@pytest.fixture
def tracker(paths: Paths) -> Tracker:
    return open_store(paths.root)
