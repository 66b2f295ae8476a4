"""Real servers: what a person at the Prefect UI sees of a deployment and its schedule."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import pytest

from flows.ui import free_port
from tests.flows.servers import auto_runs, due, log_of, logged_failures, terminate, tunesmith, wait_until
from tests.workspaces import edit

pytestmark = pytest.mark.slow


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
    wait_until(lambda: len(auto_runs(api, "Completed", "Cached")) >= 2, 400, "two runs that fired and finished")
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
    unserved = "does not fire, since nothing serves it; start it again with"
    wait_until(lambda: unserved in tunesmith(workspace, "status"), 90, "30 s without a poll of the killed schedule")
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
