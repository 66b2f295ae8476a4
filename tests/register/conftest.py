from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.tracking.client import VARIABLE, open_store
from tests.tracking.ledger_workspace import (
    ROWS,
    add_baselines,
    add_comparison,
    add_evaluation_set,
    add_experiment,
    copy_store,
)


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
    paths = Paths(tmp_path / "workspace")
    add_experiment(paths, "base", [0.2, 0.3, 0.1, 0.2], method="none")
    add_experiment(paths, "lora", [0.4, 0.5, 0.6, 0.5])
    add_comparison(paths, "lora", "base", "lora")
    add_baselines(paths, 4)
    add_evaluation_set(paths, ROWS)
    paths.params.mkdir(parents=True, exist_ok=True)
    write_yaml(paths.params / "evaluation.yaml", {"verdicts": {}})
    copy_store(empty_store, paths.root)
    return paths
