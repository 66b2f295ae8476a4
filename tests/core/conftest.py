"""Fixtures of stages that run as processes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.core.stages import DVC_YAML, environment, script, wait_for


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command, waits until its stage has written its temporary outputs, and ends it after the test."""
    running: list[subprocess.Popen[str]] = []

    def start(command: list[str], ignore_sigint: bool = False, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignore_sigint else None,
        )
        running.append(process)
        wait_for(lambda: (tmp_path / "started").exists() and (tmp_path / "started").read_text() != "")
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dvc")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    return root


@pytest.fixture
def workspace(initialised: Path, tmp_path: Path) -> Path:
    shutil.copytree(initialised, tmp_path, dirs_exist_ok=True)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "p.yaml").write_text("used: {a: 1, b: [x, 2e-3]}\nunused: 1\n")
    (tmp_path / "input.txt").write_text("one")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/x").write_text("x")
    script(tmp_path)
    return tmp_path
