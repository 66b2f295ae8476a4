"""Real servers: what a person at the Prefect UI sees of a deployment and its schedule."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest

from flows.ui import free_port
from tests.browser import browser
from tests.flows.prefect_pages import see_comparison, see_failed_task, see_failure, see_run
from tests.flows.servers import auto_runs, due, log_of, logged_failures, terminate, tunesmith, wait_until
from tests.workspaces import edit

pytestmark = pytest.mark.slow


def test_a_run_from_the_form_on_a_real_server(workspace: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """What the UI's run form posts: a flow run of the served deployment, with parameters."""
    edit(workspace, "experiments", lambda p: p["experiments"]["lora"].pop("training", None))
    port = free_port(4300)
    api = f"http://127.0.0.1:{port}/api"
    start("ui", "--only", "prefect", "--prefect-port", str(port))
    note = workspace / ".tunesmith/ui.json"
    wait_until(note.exists, 180, "the Prefect server")
    assert api in note.read_text()
    start("schedule", "--cron", "0 3 * * 1")
    os.environ["PREFECT_API_URL"] = api
    try:
        completed = asyncio.run(_run_from_form(workspace))
        failed, broken = _run_that_fails(workspace, api)
    finally:
        del os.environ["PREFECT_API_URL"]
    address, reason = f"http://127.0.0.1:{port}", "params/experiments.yaml: lora.targets: nothing must be a layer of"
    pictures = workspace.parent
    with browser() as browsed:
        page = browsed.page
        name = f"retrain {completed.start_time.astimezone():%F}: lora (no gate)"
        see_run(page, address, str(completed.id), name, ["train@lora", "predict@lora", "compare"], pictures)
        see_comparison(page, address, str(completed.id), ["lora", "Gate: did not run", "report.html"], pictures)
        see_failure(page, address, str(failed.id), ["1 stage failed: train@lora.", f"error: {reason}"], pictures)
        see_failed_task(page, address, str(broken.id), f"train@lora: error: {reason}", pictures)


def _run_that_fails(workspace: Path, api: str) -> tuple[Any, Any]:
    """A flow run with a training that fails, and the task of the training."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    edit(workspace, "experiments", lambda p: p["experiments"]["lora"].update(lora={"targets": ["nothing"]}))
    try:
        assert "1 stage failed: train@lora." in tunesmith(workspace, "run", "--experiment", "lora", code=1)
    finally:
        edit(workspace, "experiments", lambda p: p["experiments"]["lora"].pop("lora"))
    with SyncPrefectClient(api) as client:
        latest = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC)  # the runs of the schedule come first
        run = next(run for run in latest if run.state and run.state.is_failed())
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    (broken,) = [task for task in tasks if task.name == "train@lora"]
    behind = {task.name: task.state.name for task in tasks if task.name in ("predict@lora", "score@lora", "compare")}
    assert behind == dict.fromkeys(("predict@lora", "score@lora", "compare"), "NotRun")
    return run, broken


async def _run_from_form(workspace: Path) -> Any:
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
        assert set(form) == {"experiments", "register_model", "new_split", "refresh"}
        assert form["register_model"]["type"] == "boolean"
        parameters = {"experiments": ["lora"], "register_model": False}
        run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        for _ in range(900):
            run = await client.read_flow_run(run.id)
            if run.state.is_final():
                break
            await asyncio.sleep(1)
        assert run.state.is_completed(), (workspace.parent / "schedule.log").read_text()[-3000:]
        only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        names = {task.name for task in await client.read_task_runs(flow_run_filter=only)}
        assert {"train@lora", "predict@lora", "score@lora", "compare"} <= names and "register" not in names
        assert {"train@base", "predict@base", "score@base"} <= names, "the comparison needs the base"
        logs = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
        assert any("validation loss" in log.message for log in logs)
        artifacts = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        )
        comparison = next(one for one in artifacts if one.key == "comparison")
        assert "/#/experiments/" in comparison.data
        return run


def test_a_schedule_fires_by_itself_twice_and_the_servers_logs_stay_clean(
    workspace: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    edit(workspace, "experiments", lambda p: p["experiments"]["lora"].pop("training", None))
    port, schedule_log = free_port(4350), log_of(workspace, "schedule")
    api, ports = f"http://127.0.0.1:{port}/api", ("--prefect-port", str(port), "--mlflow-port", str(free_port(5350)))
    note = workspace / ".tunesmith/ui.json"
    servers = start("ui", *ports)
    wait_until(note.exists, 240, "the servers")
    schedule = start("schedule", "--cron", "*/1 * * * *", "--timezone", "Asia/Kolkata")
    wait_until(lambda: "Ctrl-C ends the schedule" in schedule_log.read_text(), 120, "the schedule")
    printed = re.findall(r"^  (.*) IST \(UTC\+05:30\)$", schedule_log.read_text(), re.MULTILINE)
    assert len(printed) == 3
    wait_until(lambda: len(auto_runs(api)) > 3, 90, "runs made by the server")
    kolkata = [run.expected_start_time.astimezone(ZoneInfo("Asia/Kolkata")) for run in auto_runs(api)]
    made = {f"{time:%a} {time.day} {time:%b %Y %H:%M}" for time in kolkata}
    assert made >= set(printed[1:]), "what was printed fires; the first may have passed before the server made any"
    status = tunesmith(workspace, "status")
    assert "schedule '*/1 * * * *' of Asia/Kolkata: is served; the next runs:" in status and "IST" in status
    (pasted,) = re.findall(r"from any terminal:  (cd .*)", schedule_log.read_text())
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(workspace.parent), "TUNESMITH_CACHE": str(workspace / ".cache")}
    done = subprocess.run(["bash", "-c", pasted], cwd="/", env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"http://127.0.0.1:{port}/runs/flow-run/" in done.stdout, done.stderr
    wait_until(lambda: len(auto_runs(api, "Completed")) >= 2, 400, "two runs that fired and finished")
    assert "does not fire" not in schedule_log.read_text()
    assert logged_failures(workspace) == []
    runner = psutil.Process(schedule.pid)
    for process in [runner, *runner.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    terminate(servers)

    start("ui", *ports)
    wait_until(note.exists, 240, "the servers, again")
    wait_until(lambda: due(api), 90, "a run that nothing starts")
    assert "does not fire, since nothing serves it; start it again with" in tunesmith(workspace, "status")
    assert "trigger: a process must serve the flow retrain, and none does" in tunesmith(workspace, "trigger", code=1)
    schedule = start("schedule", "--cron", "0 3 * * 1", "--timezone", "Asia/Kolkata")
    wait_until(lambda: auto_runs(api, "Scheduled") and not due(api), 120, "only the runs of the new schedule")
    assert "fell due while nothing served the schedule; they are dropped" in schedule_log.read_text()
    wait_until(lambda: "Ctrl-C ends the schedule" in schedule_log.read_text(), 60, "the schedule, again")
    terminate(schedule)
    assert "Traceback" not in schedule_log.read_text() and "never awaited" not in schedule_log.read_text()
    assert logged_failures(workspace) == []


def test_a_service_that_fails_is_named_where_people_look(
    workspace: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """The database refuses the runs that the scheduler makes, so that none is ever made."""
    port = free_port(4370)
    page = start("ui", "--only", "prefect", "--prefect-port", str(port))
    wait_until((workspace / ".tunesmith/ui.json").exists, 240, "the Prefect server")
    with contextlib.closing(sqlite3.connect(workspace / ".tunesmith/prefect/prefect.db", timeout=60)) as database:
        database.execute(
            "CREATE TRIGGER no_runs BEFORE INSERT ON flow_run WHEN NEW.auto_scheduled "
            "BEGIN SELECT RAISE(ABORT, 'no run is ever made'); END"
        )
        schedule = start("schedule", "--cron", "5 3 * * 1")
        schedule_log, ui_log = log_of(workspace, "schedule"), log_of(workspace, "ui")
        error = r"Prefect server: schedule_(recent_)?deployments fails: .*no run is ever made; no schedule fires"
        wait_until(lambda: re.search(error, ui_log.read_text()), 120, "the page's terminal names the service")
        wait_until(lambda: re.search(error, schedule_log.read_text()), 120, "so does the schedule's")
        assert "the schedule does not fire: the Prefect server creates no runs for it" in schedule_log.read_text()
        assert str(workspace / ".tunesmith/ui-prefect.log") in schedule_log.read_text()
        assert "is served, but does not fire: the Prefect server creates no runs" in tunesmith(workspace, "status")
        assert "schedule_recent_deployments" in tunesmith(workspace, "doctor", code=1)
        database.execute("DROP TRIGGER no_runs")
        wait_until(lambda: "the schedule fires again" in schedule_log.read_text(), 150, "its end")
    terminate(schedule)
    for server in psutil.Process(page.pid).children():
        server.kill()
    assert page.wait(60) == 1 and "the Prefect server ended by itself, with exit code -9" in ui_log.read_text()
