"""Locks, leases and subprocesses of a workspace."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.subprocesses import StoppedError, allow, stop_all, stream
from flows.workspace import find_root, running_prefect, workspace_lock
from tasks.core.errors import TunesmithError
from tasks.core.params import write_yaml
from tests.dag_modules import HEAVY, loaded


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params").mkdir()
    (tmp_path / "dvc.yaml").touch()
    write_yaml(tmp_path / "params/training.yaml", {"defaults": {"threads": 1}})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("TUNESMITH_ROOT", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3, 4})
    return tmp_path


def test_the_root_is_found_from_below(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = root / "params"
    monkeypatch.chdir(below)
    assert find_root() == root
    (root / "dvc.yaml").unlink()
    with pytest.raises(TunesmithError, match="not inside a Tunesmith workspace"):
        find_root()


def test_a_second_flow_waits_and_names_the_holder(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def second() -> None:
        with workspace_lock(root, "flow run two", logging.getLogger("tunesmith")):
            done.append("two")

    waiting = threading.Thread(target=second)
    with caplog.at_level(logging.WARNING), workspace_lock(root, "flow run one"):
        waiting.start()
        time.sleep(0.5)
        assert done == []
        assert "another flow or command works in this workspace (flow run one, process" in caplog.text
    waiting.join(10)
    assert done == ["two"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_command_that_waits_ends_on_a_signal_though_its_caller_ignores_interrupts(
    root: Path, number: signal.Signals, code: int
) -> None:
    """As after `trap '' INT`, or of `tunesmith … &` in a script."""
    command = [sys.executable, "-c", "from flows.cli import main; main()", "clean"]
    with workspace_lock(root, "flow run one"):
        waiting = subprocess.Popen(
            command,
            cwd=root,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        assert waiting.stderr is not None
        assert "another flow or command works in this workspace" in waiting.stderr.readline()
        waiting.send_signal(number)
        assert waiting.wait(30) == code
    assert "Traceback" not in waiting.stderr.read()


def test_a_half_written_note_of_the_pages_stops_no_command(root: Path) -> None:
    (root / ".tunesmith").mkdir()
    assert running_prefect(root) is None
    (root / ".tunesmith/ui.json").write_text('{"prefect_api": "http')
    assert running_prefect(root) is None


def test_lines_are_streamed_as_they_come(root: Path) -> None:
    """The program prints its second line only after its first was received; else it ends with code 4."""
    allow()
    lines: list[str] = []
    code = (
        "import pathlib, time; print('a')\n"
        "for _ in range(3000):\n"
        "    if pathlib.Path('received').exists(): print('b'); raise SystemExit(3)\n"
        "    time.sleep(0.01)\n"
        "raise SystemExit(4)"
    )

    def receive(line: str) -> None:
        lines.append(line)
        (root / "received").touch()

    assert stream([sys.executable, "-c", code], root, receive, {}) == 3
    assert lines == ["a", "b"]


def test_stop_all_ends_what_runs_and_lets_nothing_begin(root: Path) -> None:
    allow()
    ends: list[int] = []
    code = "import time\ntry: print('ready', flush=True); time.sleep(60)\nexcept KeyboardInterrupt: raise SystemExit(7)"
    ready = threading.Event()
    running = threading.Thread(
        target=lambda: ends.append(stream([sys.executable, "-c", code], root, lambda line: ready.set(), {}))
    )
    running.start()
    assert ready.wait(60)
    stop_all()
    running.join(10)
    assert ends == [7]
    with pytest.raises(StoppedError, match="interrupted before this command started"):
        stream([sys.executable, "-c", "print(1)"], root, lambda line: None, {})
    allow()


def test_a_stage_of_a_stopped_flow_fails_in_one_line(root: Path) -> None:
    from prefect.logging import disable_run_logger

    from flows.stages import run_stage

    stop_all()
    with disable_run_logger():
        state: Any = run_stage.fn("compare", root)  # no exception, whose traceback Prefect would log
    allow()
    assert state.is_failed() and state.message == "compare: error: not started, since the flow was stopped"


@pytest.mark.parametrize(
    ("lines", "stop", "message"),
    [
        (["compare: error: no rows", "Traceback"], True, "compare: error: no rows"),
        (["Traceback", "  line"], True, "compare: error: ended, since the flow was stopped"),
        (["one", "two"], False, "compare: error: one | two"),
    ],
)
def test_a_stage_that_fails_is_quoted_even_when_the_flow_stops(
    root: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], stop: bool, message: str
) -> None:
    from prefect.logging import disable_run_logger

    from flows import repro, stages

    def fail(command: list[str], folder: Path, on_line: Callable[[str], None], variables: dict[str, str]) -> int:
        for line in lines:
            on_line(line)
        if stop:
            stop_all()
        return 1

    monkeypatch.setattr(repro, "stream", fail)
    allow()
    with disable_run_logger():
        state: Any = stages.run_stage.fn("compare", root)
    allow()
    assert state.is_failed() and state.message == message


def test_a_flow_starts_without_the_libraries_of_models() -> None:
    heavy = {*HEAVY, "lm_eval", "datasets"}
    assert not heavy & loaded(
        "import flows.retrain, flows.clones.build, flows.cli, tasks.register.run, tasks.report.run"
    )
