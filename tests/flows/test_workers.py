"""Deployments and a worker on a real server: from the form to a champion that a person approved, and to a crash."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.ui import free_port
from tests.boxes import build
from tests.browser import browser
from tests.flows.prefect_pages import (
    approve_on_page,
    see_comparison,
    see_failed_task,
    see_failure,
    see_refusal,
    see_run,
    start_from_form,
    wait_for_state,
)
from tests.flows.recording import recording_server
from tests.flows.servers import log_of, train_without_end, tunesmith, wait_until
from tests.workspaces import ROOT, edit

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace in which the experiment ``weak`` beats all opponents, and a person must approve it."""
    root = tmp_path / "workspace"
    build(root, "tiny")
    shutil.copytree(ROOT / "infra", root / "infra")
    edit(root, "registration", lambda p: p["registration"].update(approval="manual"))
    return root


def test_a_deployed_flow_from_its_form_to_the_champion_and_to_a_crash(
    workspace: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    port, pictures = free_port(4390), workspace.parent
    address = f"http://127.0.0.1:{port}"
    start("ui", "--only", "prefect", "--prefect-port", str(port))
    wait_until((workspace / ".tunesmith/ui.json").exists, 240, "the Prefect server")
    with recording_server(HTTPStatus.OK) as (url, received):
        _save_block(f"{address}/api", url)
        printed = tunesmith(workspace, "deploy")
        assert "work pool tunesmith: created, of the type process" in printed
        assert "tunesmith: mark a dead flow run as crashed: created" in printed
        assert "tunesmith: notify about a model: created" in printed
        worker = start("worker")
        wait_until(lambda: "started!" in log_of(workspace, "worker").read_text(), 120, "the worker")
        deployments = _deployments(f"{address}/api")
        assert set(deployments) == {"retrain", "approve", "evaluate-champion", "restore", "build"}
        with browser() as browsed:
            page = browsed.page
            reason = "-3 is less than or equal to the minimum of 0"
            see_refusal(page, address, deployments["approve"], "-3", reason, pictures)
            start_from_form(page, address, deployments["retrain"], "weak", pictures)
            run_id = wait_until(lambda: _by_hand(f"{address}/api"), 30, "the run")
            wait_for_state(page, address, run_id, "Completed", 1200)
            run = _flow_run(f"{address}/api", run_id)
            see_run(page, address, run_id, run["name"], ["train@weak", "compare", "register"], pictures)
            see_comparison(page, address, run_id, ["weak", "awaits approval", "report.html"], pictures)
            assert "validation loss" in _log(f"{address}/api", run_id)
            approval = wait_until(lambda: _paused(f"{address}/api"), 300, "the flow approve to pause")
            approve_on_page(page, address, approval, "read all rows", "Ada", pictures)
            wait_for_state(page, address, approval, "Completed", 300)
            _skipped(f"{address}/api", deployments["retrain"])
            failed, task = _failed(workspace, f"{address}/api", deployments["retrain"])
            reason = "params/experiments.yaml: lora.targets: nothing must be a layer of"
            see_failure(page, address, failed, ["1 stage failed: train@broken.", f"error: {reason}"], pictures)
            see_failed_task(page, address, task, f"train@broken: error: {reason}", pictures)
        assert "version 1, experiment weak" in tunesmith(workspace, "champion")
        assert "approved by Ada" in tunesmith(workspace, "champion")
        titles = ["weak (version 1) awaits approval", "weak (version 1) is the champion"]
        wait_until(
            lambda: [title for title in titles if not any(title in text for text in received)] == [], 200, titles
        )
    _crashed(workspace, f"{address}/api", deployments["retrain"], worker)
    assert "tunesmith: mark a dead flow run as crashed: updated" in tunesmith(workspace, "deploy")


def _failed(workspace: Path, api: str, deployment: str) -> tuple[str, str]:
    """The ids of a run with a training that fails, and of the task of the training."""
    broken = {"method": "lora", "mixture": "boxes", "lora": {"targets": ["nothing"]}}
    edit(workspace, "experiments", lambda p: p["experiments"].update(broken=broken))
    run = _run(api, deployment, {"experiments": ["broken"]}, lambda state: state["type"] == "FAILED", 400)
    edit(workspace, "experiments", lambda p: p["experiments"].pop("broken"))
    tasks = {task["name"]: task for task in _post(f"{api}/task_runs/filter", _of_run(run["id"]))}
    behind = {name: tasks[name]["state"]["name"] for name in ("predict@broken", "score@broken", "compare")}
    assert behind == dict.fromkeys(behind, "NotRun")
    return run["id"], tasks["train@broken"]["id"]


def _of_run(run_id: str) -> dict[str, Any]:
    return {"flow_runs": {"id": {"any_": [run_id]}}}


def _log(api: str, run_id: str) -> str:
    logs = _post(f"{api}/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}})
    return "\n".join(line["message"] for line in logs)


def _post(url: str, body: dict[str, Any]) -> Any:
    return httpx.post(url, json=body).raise_for_status().json()


def _skipped(api: str, deployment: str) -> None:
    """A run with nothing new is skipped, and its name tells it."""
    run = _run(api, deployment, {}, lambda state: state["type"] == "COMPLETED", 300)
    assert run["name"].endswith("(skipped)") and run["state"]["name"] == "Cached"
    assert run["state"]["message"].startswith("nothing new: all ")


def _crashed(workspace: Path, api: str, deployment: str, worker: subprocess.Popen[str]) -> None:
    """A run whose worker is killed with all its processes is marked as crashed within two minutes."""
    edit(workspace, "experiments", lambda p: p["experiments"].update(lora=p["experiments"]["weak"]))
    train_without_end(workspace)
    parameters = {"experiments": ["lora"]}
    run = _run(api, deployment, parameters, lambda state: state["type"] == "RUNNING", 200)
    log = log_of(workspace, "worker")
    wait_until(lambda: "'train@lora' - step" in log.read_text(), 400, "the training")
    process = psutil.Process(worker.pid)
    for one in [process, *process.children(recursive=True)]:
        one.kill()
    killed = time.monotonic()
    wait_until(lambda: _flow_run(api, run["id"])["state"]["type"] == "CRASHED", 150, "the run to be marked")
    assert time.monotonic() - killed < 120
    assert "no heartbeat arrived for 90 seconds" in _flow_run(api, run["id"])["state"]["message"]


def _run(
    api: str, deployment: str, parameters: dict[str, Any], reached: Callable[[dict[str, Any]], bool], seconds: float
) -> dict[str, Any]:
    """Start a run of the deployment, and wait until its state is ``reached``."""
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    run_id = _post(f"{api}/deployments/{deployment}/create_flow_run", body)["id"]
    wait_until(lambda: reached(_flow_run(api, run_id)["state"]), seconds, "the flow run's state")
    return _flow_run(api, run_id)


def _deployments(api: str) -> dict[str, str]:
    return {one["name"]: one["id"] for one in _post(f"{api}/deployments/filter", {})}


def _flow_run(api: str, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run_id}").raise_for_status().json()
    return run


def _paused(api: str) -> str | None:
    runs = _post(f"{api}/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}})
    return runs[0]["id"] if runs else None


def _by_hand(api: str) -> str | None:
    """The id of the one run that no schedule made."""
    runs = _post(f"{api}/flow_runs/filter", {})
    return next((run["id"] for run in runs if not run["auto_scheduled"]), None)


def _save_block(api: str, url: str) -> None:
    """What docs/workers.md shows for a webhook."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api}):
        block = CustomWebhookNotificationBlock(
            name="team", url=url, json_data={"title": "{{subject}}", "text": "{{body}}"}
        )
        block.save("tunesmith", overwrite=True)
