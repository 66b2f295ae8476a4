"""Real servers, real kills: what a person at the Prefect UI or at Ctrl-C sees."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.ui import free_port
from tasks import files
from tests.workspaces import edit, environment, make_workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("servers") / "workspace", tiny_llama)
    edit(root, "experiments", lambda p: p["experiments"].pop("full"))
    return root


@pytest.fixture
def workspace(built: Path) -> Path:
    """The same for all: only the first test builds what comes before training. Nothing of a training is left."""
    files.remove(built / "checkpoints")
    return built


def _train_without_end(workspace: Path) -> None:
    loop = {"epochs": 100_000, "log_every": 1}
    edit(workspace, "experiments", lambda p: p["experiments"]["lora"].update(training=loop))


@pytest.fixture
def start(workspace: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``tunesmith`` in the workspace; what still runs at the end of the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        log = (workspace.parent / f"{arguments[0]}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=workspace,
            env=environment(workspace) | {"PYTHONPATH": str(Path(__file__).parents[2])} | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in reversed(started):  # what talks to a server ends before the server
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


def _until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what}")


def _processes_of(workspace: Path) -> list[str]:
    """Command lines of the stages and dvc processes that work in the workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if process.cwd() == str(workspace) and ("tasks." in line or "dvc" in line):
                found.append(line)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("send", "number", "code", "said"),
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
    said: str,
) -> None:
    _train_without_end(workspace)
    run = start("run")
    log = workspace.parent / "run.log"
    _until(lambda: list(workspace.glob("checkpoints/*/history.jsonl")), 240, "training")
    assert any("tasks.train lora" in line for line in _processes_of(workspace))
    send(run.pid, number)
    assert run.wait(60) == code, log.read_text()[-3000:]
    assert said in log.read_text().splitlines() and "Traceback" not in log.read_text()
    assert _until(lambda: not _processes_of(workspace), 10, "no process left")
    assert not list(workspace.rglob("*.partial")) and not (workspace / "models/lora").exists()
    assert (workspace / "models/base/manifest.json").exists()
    assert "train@lora: interrupted" in log.read_text(), log.read_text()[-3000:]


def test_a_killed_flow_takes_its_stages_with_it(workspace: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    _train_without_end(workspace)
    run = start("run")
    _until(lambda: list(workspace.glob("checkpoints/*/history.jsonl")), 240, "training")
    children = psutil.Process(run.pid).children(recursive=True)
    os.kill(run.pid, signal.SIGKILL)
    try:
        assert _until(lambda: not _processes_of(workspace), 40, "no process left")
    finally:
        for server in children:  # Prefect's own, for this run alone
            with contextlib.suppress(psutil.NoSuchProcess):
                server.kill()
    assert not list(workspace.rglob("*.partial"))


def test_a_run_from_the_form_on_a_real_server(workspace: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """What the UI's run form posts: a flow run of the served deployment, with parameters."""
    edit(workspace, "experiments", lambda p: p["experiments"]["lora"].pop("training", None))
    port = free_port(4300)
    api = f"http://127.0.0.1:{port}/api"
    start("ui", "--only", "prefect", "--prefect-port", str(port))
    note = workspace / ".tunesmith/ui.json"
    _until(note.exists, 180, "the Prefect server")
    assert api in note.read_text()
    start("schedule", "--cron", "0 3 * * 1")
    os.environ["PREFECT_API_URL"] = api
    try:
        asyncio.run(_run_from_form(workspace))
    finally:
        del os.environ["PREFECT_API_URL"]


async def _run_from_form(workspace: Path) -> None:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        FlowRunFilter,
        FlowRunFilterId,
        LogFilter,
        LogFilterFlowRunId,
    )
    from prefect.exceptions import ObjectNotFound

    async with PrefectClient(os.environ["PREFECT_API_URL"]) as client:
        for _ in range(120):
            try:
                deployment = await client.read_deployment_by_name("retrain/retrain")
                break
            except ObjectNotFound:
                await asyncio.sleep(1)
        schedule = deployment.schedules[0]
        assert schedule.schedule.cron == "0 3 * * 1" and schedule.active
        form = deployment.parameter_openapi_schema["properties"]
        assert set(form) == {"experiments", "register_model"} and form["register_model"]["type"] == "boolean"
        parameters = {"experiments": ["lora"], "register_model": False}
        run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        for _ in range(400):
            run = await client.read_flow_run(run.id)
            if run.state.is_final():
                break
            await asyncio.sleep(1)
        assert run.state.is_completed(), (workspace.parent / "schedule.log").read_text()[-3000:]
        only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        names = {task.name for task in await client.read_task_runs(flow_run_filter=only)}
        assert {"train@lora", "evaluate@lora", "compare"} <= names and "register" not in names
        assert {"train@base", "evaluate@base"} <= names, "the comparison needs the base"
        logs = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
        assert any("validation loss" in log.message for log in logs)
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        )
        assert "/#/experiments/" in found[0].data
