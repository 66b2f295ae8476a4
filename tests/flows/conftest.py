"""Fixtures of the flow's tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.core import files
from tests.flows.command_line import Cli
from tests.flows.servers import end_group, log_of, server_environment
from tests.workspaces import copy_workspace, edit


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


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory, workspace_with_data: Path) -> Path:
    """A copy of ``workspace_with_data`` for a file of tests, with ``base`` and ``lora`` to train."""
    root = copy_workspace(workspace_with_data, tmp_path_factory.mktemp("servers") / "workspace")
    edit(root, "experiments", lambda p: p["experiments"].pop("full"))
    return root


@pytest.fixture
def workspace(untrained: Path) -> Path:
    """The same for all tests of a file; nothing of a training is left."""
    files.remove(untrained / "checkpoints")
    return untrained


@pytest.fixture
def start(workspace: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``tunesmith`` in the workspace; what still runs at the end of the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        log = log_of(workspace, arguments[0]).open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=workspace,
            env=server_environment(workspace) | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in reversed(started):  # what talks to a server ends before the server
        end_group(process)
