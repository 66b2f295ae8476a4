"""What a person sees of a flow and its servers: processes, logs, states in Prefect's database."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from flows import subprocesses
from tasks.core import files
from tests.workspaces import edit, environment


def train_without_end(workspace: Path) -> None:
    loop = {"epochs": 100_000, "log_every": 1}
    edit(workspace, "experiments", lambda p: p["experiments"]["lora"].update(training=loop))


def server_environment(workspace: Path) -> dict[str, str]:
    own = {"PYTHONPATH": str(Path(__file__).parents[2]), "PREFECT_HOME": str(workspace / ".tunesmith/prefect")}
    return environment(workspace) | own


def log_of(workspace: Path, command: str) -> Path:
    return workspace.parent / f"{command}.log"


def terminate(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGTERM)
    process.wait(90)


def end_group(process: subprocess.Popen[Any], number: signal.Signals = signal.SIGINT, patience: float = 90) -> None:
    """End a process and those of its session; what does not end in time is killed, so that no test leaves any."""
    subprocesses.end_group(process, ((number, patience), (signal.SIGKILL, 5)))
    process.wait()


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what}")


def processes_of(workspace: Path) -> list[str]:
    """Command lines of the stages and dvc processes that work in the workspace."""
    lines = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if process.cwd() == str(workspace) and ("tasks." in line or "dvc" in line):
                lines.append(line)
        except psutil.Error:
            continue
    return lines


def flow_of(pid: int, workspace: Path) -> str:
    notes = (workspace / ".tunesmith/flows").glob("*.json")
    return next(path.stem for path in notes if files.read_json(path)["pid"] == pid)


def states_of(workspace: Path, run_id: str) -> set[str]:
    """States of a flow run and of the training that it was killed in, from Prefect's database."""
    with contextlib.closing(sqlite3.connect(workspace / ".tunesmith/prefect/prefect.db")) as database:
        flow = database.execute("SELECT state_type FROM flow_run WHERE id = ?", (run_id,)).fetchall()
        of_it = "SELECT state_type FROM task_run WHERE flow_run_id = ? AND name = 'train@lora'"
        return {state for (state,) in flow + database.execute(of_it, (run_id,)).fetchall()}


def auto_runs(api: str, *states: str) -> list[Any]:
    """The runs that the schedule made, the earliest first; only those in ``states`` where some are given."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.sorting import FlowRunSort

    with SyncPrefectClient(api) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200)
    runs = [run for run in runs if run.auto_scheduled and run.state]
    return [run for run in runs if not states or run.state.name in states]


def logged_failures(workspace: Path) -> list[str]:
    """All that the logs of both servers hold of errors; each log must have been written."""
    lines = []
    for name in ("prefect", "mlflow"):
        text = (workspace / f".tunesmith/ui-{name}.log").read_text()
        assert text.strip(), name
        lines += [line for line in text.splitlines() if re.search(r"Traceback|\bERROR\b|\bCRITICAL\b", line)]
    return lines


def due(api: str) -> list[Any]:
    return [run for run in auto_runs(api, "Scheduled") if run.expected_start_time < datetime.now(UTC)]


def tunesmith(workspace: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=workspace,
        env=server_environment(workspace),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout
