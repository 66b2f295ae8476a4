"""Real kills: what a person sees who stops a flow, or whose server ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.ui import free_port
from tests.flows.servers import flow_of, log_of, processes_of, states_of, train_without_end, wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("send", "number", "code", "message"),
    [
        (os.kill, signal.SIGINT, 130, "interrupted; what was finished stays"),
        # As a terminal does at Ctrl-C: also to the Prefect server of the run.
        (os.killpg, signal.SIGINT, 130, "interrupted; what was finished stays"),
        (os.kill, signal.SIGTERM, 143, "stopped by SIGTERM; what was finished stays"),
    ],
)
def test_a_signal_ends_training_and_leaves_nothing(
    workspace: Path,
    start: Callable[..., subprocess.Popen[str]],
    send: Callable[[int, int], None],
    number: signal.Signals,
    code: int,
    message: str,
) -> None:
    train_without_end(workspace)
    run = start("run")
    log = workspace.parent / "run.log"
    wait_until(lambda: list(workspace.glob("checkpoints/*/history.jsonl")), 240, "training")
    assert any("tasks.train lora" in line for line in processes_of(workspace))
    send(run.pid, number)
    assert run.wait(60) == code, log.read_text()[-3000:]
    assert message in log.read_text().splitlines() and "Traceback" not in log.read_text()
    assert wait_until(lambda: not processes_of(workspace), 10, "no process left")
    assert not list(workspace.rglob("*.partial")) and not (workspace / "models/lora").exists()
    assert (workspace / "models/base/manifest.json").exists()
    assert "train@lora: interrupted" in log.read_text(), log.read_text()[-3000:]


def test_a_killed_flow_takes_its_stages_with_it_and_is_closed(
    workspace: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    train_without_end(workspace)
    run = start("run")
    wait_until(lambda: list(workspace.glob("checkpoints/*/history.jsonl")), 240, "training")
    children = psutil.Process(run.pid).children(recursive=True)
    os.kill(run.pid, signal.SIGKILL)
    try:
        assert wait_until(lambda: not processes_of(workspace), 40, "no process left")
    finally:
        for server in children:  # Prefect's own, for this run alone
            with contextlib.suppress(psutil.NoSuchProcess):
                server.kill()
    assert not list(workspace.rglob("*.partial"))
    (note,) = (workspace / ".tunesmith/flows").glob(f"{flow_of(run.pid, workspace)}.json")
    assert states_of(workspace, note.stem) == {"RUNNING"}
    start("ui", "--only", "prefect", "--prefect-port", str(free_port(4400)))
    wait_until((workspace / ".tunesmith/ui.json").exists, 180, "the Prefect server")
    assert wait_until(lambda: states_of(workspace, note.stem) == {"CRASHED"}, 20, "the run and its task are closed")
    assert not note.exists()


def test_a_flow_whose_server_was_killed_ends_in_one_line(
    workspace: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Prefect itself retries to reach its server for minutes, and then prints a traceback."""
    train_without_end(workspace)
    run = start("run")
    wait_until(lambda: list(workspace.glob("checkpoints/*/history.jsonl")), 240, "training")
    (server,) = (child for child in psutil.Process(run.pid).children() if "uvicorn" in child.cmdline())
    server.kill()
    time.sleep(3)
    assert run.poll() is None, "the training goes on"
    os.kill(run.pid, signal.SIGINT)
    assert run.wait(180) == 1
    log = log_of(workspace, "run").read_text()
    assert "error: the Prefect server ended or does not answer any more" in log.splitlines()[-1]
    assert wait_until(lambda: not processes_of(workspace), 10, "no process left")
