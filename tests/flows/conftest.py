"""Fixtures of the flow's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect on a database of its own, for the whole session."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A function that makes a folder the workspace of this process."""

    def enter(root: Path) -> None:
        monkeypatch.setenv("TUNESMITH_ROOT", str(root))
        monkeypatch.setenv("TUNESMITH_CACHE", str(root / ".cache"))
        monkeypatch.chdir(root)

    yield enter
