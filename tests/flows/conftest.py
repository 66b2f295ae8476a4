"""Fixtures of the flow's tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.command_line import Cli
from tests.workspaces import copy_workspace


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


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run ``tunesmith`` in a workspace; gives the exit code and all that it printed."""
    from flows.cli import main

    def call(root: Path, *arguments: object) -> tuple[int, str]:
        monkeypatch.setenv("TUNESMITH_ROOT", str(root))
        monkeypatch.setenv("TUNESMITH_CACHE", str(root / ".cache"))
        monkeypatch.setenv("PREFECT_HOME", str(root / ".tunesmith/prefect"))
        monkeypatch.chdir(root)
        monkeypatch.setattr(sys, "argv", ["tunesmith", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return call


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, built_workspace: Path) -> Path:
    """A copy of ``built_workspace`` for a file of tests, each of which leaves it as it was."""
    return copy_workspace(built_workspace, tmp_path_factory.mktemp("built") / "workspace")
