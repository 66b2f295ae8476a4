from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's store lies in the workspace of the test."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
