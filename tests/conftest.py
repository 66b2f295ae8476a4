"""Fixtures of all rooms: tiny base models and whole workspaces, offline."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.longest import LONGEST

if TYPE_CHECKING:
    from tasks.core.paths import Paths

# Before any test imports them: no network, no telemetry, no progress bars in captured logs.
os.environ |= {
    # Stages are run as `python -m …`: by this Python, whichever test comes first.
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # tiny models; two test processes share two cores
    "TOKENIZERS_PARALLELISM": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}

CORPUS = [
    "Customer: my lamp is broken. Agent: we send a new lamp.",
    "Customer: the parcel is late. Agent: it comes on Monday.",
    "Customer: I cannot log in. Agent: we reset the password.",
    "Summarize the following conversation. The customer reports a problem and the agent helps.",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import save_llama

    return save_llama(tmp_path_factory.mktemp("llama"), CORPUS)


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import save_t5

    return save_t5(tmp_path_factory.mktemp("t5"), CORPUS)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an initialised empty MLflow store; creating its tables takes seconds."""
    from tasks.tracking.client import VARIABLE, open_store

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        root = tmp_path_factory.mktemp("store")
        open_store(root)
    return root / "mlflow.db"


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of this run of the tests share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def workspace_with_data(run_folder: Path, tiny_llama: Path) -> Path:
    """A workspace with the mixture and the evaluation set, built once per run of the tests; read only."""
    from tests.workspaces import build_data, once

    return once(run_folder / "data", lambda root: build_data(root, tiny_llama))


@pytest.fixture(scope="session")
def built_workspace(run_folder: Path, tiny_llama: Path) -> Path:
    """A workspace with ``base`` and ``lora`` compared, built once per run of the tests; read only."""
    from tests.workspaces import build_all, once

    return once(run_folder / "built", lambda root: build_all(root, tiny_llama))


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's store lies in the workspace of the test."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def memorised(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Paths:
    """A workspace with the model ``full``, which knows ``PAIRS`` by heart; read only."""
    from tests.train.training_workspace import PAIRS, rows, train, workspace

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        paths = workspace(tmp_path_factory.mktemp("memorised") / "workspace", tiny_llama, validation=rows(PAIRS))
        train(paths, "full", {"training": {"epochs": 60, "learning_rate": 1e-2}})
    return paths
