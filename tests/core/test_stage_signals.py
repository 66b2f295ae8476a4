"""Signals: a stage that is ended leaves nothing temporary, and ends with what started it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tasks.core.stage import PARENT_VARIABLE
from tests.core.stages import WAIT, Started, finished, names, script, wait_for


def test_sigterm_leaves_nothing_temporary(tmp_path: Path, started: Started) -> None:
    process = started(script(tmp_path, WAIT))
    assert len(names(tmp_path / "out")) == 2, "the temporaries"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert process.stderr is not None
    assert process.stderr.read() == "work: error: ended by SIGTERM; nothing half-written was left\n"
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("ignore_sigint", [False, True])
def test_sigint_leaves_nothing_temporary_even_where_the_parent_ignored_it(
    tmp_path: Path, started: Started, ignore_sigint: bool
) -> None:
    process = started(script(tmp_path, WAIT), ignore_sigint=ignore_sigint)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert process.stderr is not None
    assert process.stderr.read() == "work: interrupted; nothing half-written was left\n"
    assert names(tmp_path / "out") == []


def test_what_a_killed_stage_left_is_removed_by_the_next_run(tmp_path: Path, started: Started) -> None:
    process = started(script(tmp_path, WAIT))
    process.kill()
    process.wait()
    assert len(names(tmp_path / "out")) == 2
    assert finished(script(tmp_path), tmp_path).returncode == 0
    assert names(tmp_path / "out") == ["a", "b"]


def test_a_stage_ends_with_the_flow_that_started_it(tmp_path: Path, started: Started) -> None:
    flow = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        process = started(script(tmp_path, WAIT), **{PARENT_VARIABLE: str(flow.pid)})
        assert process.poll() is None
    finally:
        flow.kill()
        flow.wait()
    assert process.wait(timeout=10) == 143
    assert names(tmp_path / "out") == []


def test_a_stage_whose_flow_is_gone_already_does_nothing(tmp_path: Path) -> None:
    flow = subprocess.Popen([sys.executable, "-c", ""])
    flow.wait()
    done = finished(script(tmp_path), tmp_path, **{PARENT_VARIABLE: str(flow.pid)})
    assert done.returncode == 143
    assert names(tmp_path / "out") == []


@pytest.mark.slow
def test_a_stage_whose_dvc_is_killed_ends_itself(workspace: Path, started: Started) -> None:
    script(workspace, WAIT)
    dvc = started([sys.executable, "-m", "dvc", "repro"])
    stage = psutil.Process(int((workspace / "started").read_text()))
    assert dvc.pid in {parent.pid for parent in stage.parents()}
    dvc.kill()
    dvc.wait()
    wait_for(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE, seconds=5)
    assert [name for name in names(workspace / "out") if name != ".gitignore"] == []
