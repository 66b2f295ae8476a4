"""A team's machines as processes: deployments, a schedule, workers in clones, a person's approval, and crashes.

PostgreSQL, an S3-compatible store, Prefect and MLflow run as in ``infra/compose.yaml`` (``tests/flows/team.py``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from mlflow import MlflowClient

from tasks.core import files
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tests.boxes import build, experiment, training
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
from tests.flows.servers import end_group, server_environment, train_without_end, tunesmith, wait_until
from tests.flows.team import BUCKETS, Team, team
from tests.workspaces import ROOT, commit, dvc, edit

pytestmark = pytest.mark.slow

TRIALS = ("weak", "second", "third", "fourth")
HEARTBEATS_S = 60  # instead of 90, so that the test waits less; a run sends one every 30 s


def test_a_team_trains_on_a_schedule_approves_in_the_browser_and_survives_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, clones = tmp_path / "workspace", [tmp_path / "clone-1", tmp_path / "clone-2"]
    with team(tmp_path) as servers, recording_server(HTTPStatus.OK) as (url, received):
        for name, value in servers.variables().items():
            monkeypatch.setenv(name, value)
        _lay_out(root, clones, servers)
        api, address = servers.prefect, servers.prefect.removesuffix("/api")
        _save_block(api, url)
        printed = tunesmith(root, "deploy")
        assert "work pool tunesmith: created, of the type process" in printed
        assert "tunesmith: mark a dead flow run as crashed: created" in printed
        assert "tunesmith: notify about a model: created" in printed
        deployments = {one["name"]: one["id"] for one in _post(f"{api}/deployments/filter", {})}
        assert set(deployments) == {"retrain", "approve", "evaluate-champion", "restore", "build"}
        with _worker(root, "tunesmith") as worker, browser() as browsed:
            page = browsed.page
            with _worker(clones[0]) as first, _worker(clones[1]) as second:
                run = wait_until(lambda: _scheduled_run(api), 200, "a run that the schedule made to start")
                _end_schedule(api, deployments["retrain"])
                reason = "-3 is less than or equal to the minimum of 0"
                see_refusal(page, address, deployments["approve"], "-3", reason, tmp_path)
                page.goto("about:blank")
                wait_until(lambda: any((one / "checkpoints").exists() for one in clones), 300, "a training in a clone")
                killed = 0 if (clones[0] / "checkpoints").exists() else 1
                _kill((first, second)[killed])
                with _worker(clones[killed]):  # a supervisor starts it again
                    # Without the page, whose timeline is drawn anew all the time, and takes a core.
                    wait_until(lambda: _flow_run(api, run["id"])["state"]["type"] == "COMPLETED", 900, "its end")
            wait_for_state(page, address, run["id"], "Completed", 60)
            _each_trial_ended_once(root, servers)
            run = _flow_run(api, run["id"])
            tasks = ["build@weak", "train@weak", "compare", "register"]
            see_run(page, address, run["id"], run["name"], tasks, tmp_path)
            see_comparison(page, address, run["id"], ["weak", "awaits approval", "report.html"], tmp_path)
            approval = wait_until(lambda: _paused(api), 300, "the flow approve to pause")
            approve_on_page(page, address, approval, "read all rows", "Ada", tmp_path)
            wait_for_state(page, address, approval, "Completed", 300)
            page.goto("about:blank")
            assert "version 1, experiment weak" in tunesmith(root, "champion")
            assert '"by":"Ada"' in (root / "decisions.jsonl").read_text().splitlines()[-1]
            start_from_form(page, address, deployments["retrain"], "weak", tmp_path)
            page.goto("about:blank")
            _skipped(api, wait_until(lambda: _by_hand(api), 60, "the run of the form"))
            failed, task = _failed(root, api, deployments["retrain"])
            reason = "params/experiments.yaml: lora.targets: nothing must be a layer of"
            see_failure(page, address, failed, ["1 stage failed: train@broken.", f"error: {reason}"], tmp_path)
            see_failed_task(page, address, task, f"train@broken: error: {reason}", tmp_path)
            page.goto("about:blank")
            _crashed(root, api, deployments["retrain"], worker)
        titles = ["weak (version 1) awaits approval", "weak (version 1) is the champion"]
        wait_until(lambda: all(any(title in text for text in received) for title in titles), 200, str(titles))
        assert all(_objects(bucket) for bucket in BUCKETS), "artifacts and outputs are in the store"
        assert "tunesmith: mark a dead flow run as crashed: updated" in tunesmith(root, "deploy")


def _lay_out(root: Path, clones: list[Path], servers: Team) -> None:
    """A workspace whose candidate must be approved by a person, with a schedule and a remote; and its clones.

    Of the four trials, ``weak`` alone learns enough to beat the baselines.
    """
    build(root, "tiny")
    shutil.copytree(ROOT / "infra", root / "infra")
    loop = training("tiny", "weak")
    trials = {name: experiment("tiny", loop | {"max_steps": 2}, seed=seed) for seed, name in enumerate(TRIALS)}
    trials["weak"] = experiment("tiny", loop)
    edit(root, "experiments", lambda p: p["experiments"].update(trials))
    edit(root, "registration", lambda p: p["registration"].update(approval="manual"))
    deployments = read_yaml(root / "infra/prefect.yaml")
    retrain = next(one for one in deployments["deployments"] if one["name"] == "retrain")
    each_minute = {"cron": "* * * * *", "timezone": "UTC", "active": True}
    retrain |= {"schedules": [each_minute], "parameters": {"workers": True}}
    write_yaml(root / "infra/prefect.yaml", deployments)
    automations = read_yaml(root / "infra/automations.yaml")
    automations["automations"][0]["trigger"]["within"] = HEARTBEATS_S
    write_yaml(root / "infra/automations.yaml", automations)
    dvc(root, "remote", "add", "--default", "shared", "s3://dvc/store")
    dvc(root, "remote", "modify", "shared", "endpointurl", servers.store)
    commit(root)
    for clone in clones:
        subprocess.run(["git", "clone", "--quiet", root, clone], check=True)
        shutil.copytree(root / "base", clone / "base")  # a local base model is in neither git nor DVC


def _save_block(api: str, url: str) -> None:
    """What docs/workers.md shows for a webhook."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api}):
        block = CustomWebhookNotificationBlock(
            name="team", url=url, json_data={"title": "{{subject}}", "text": "{{body}}"}
        )
        block.save("tunesmith", overwrite=True)


@contextmanager
def _worker(root: Path, pool: str = "tunesmith-clones") -> Iterator[subprocess.Popen[bytes]]:
    """A worker; its log is beside its folder. It polls one run at a time in a clone."""
    limit = ("--limit", "1") if pool == "tunesmith-clones" else ()
    with root.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "worker", "--pool", pool, *limit],
            cwd=root,
            env=server_environment(root) | {"OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process)


def _kill(worker: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(worker.pid)
    for one in [process, *process.children(recursive=True)]:
        one.kill()


def _each_trial_ended_once(root: Path, servers: Team) -> None:
    runs = _post(f"{servers.prefect}/flow_runs/filter", {})
    ends = {name: sorted(run["state"]["type"] for run in runs if run["name"] == f"build {name}") for name in TRIALS}
    assert {name: states.count("COMPLETED") for name, states in ends.items()} == dict.fromkeys(TRIALS, 1)
    assert sum(run["state"]["type"] == "CRASHED" and run["name"].startswith("build ") for run in runs) == 1, ends
    weights = {files.read_json(Paths(root).model(name) / "manifest.json")["weights_sha256"] for name in TRIALS}
    assert len(weights) == len(TRIALS)
    assert dvc(root, "status", "--json").stdout.strip() == "{}"
    client = MlflowClient(tracking_uri=servers.mlflow)
    own = client.get_experiment_by_name("tunesmith")
    assert own is not None
    finished = [run.info.run_name for run in client.search_runs([own.experiment_id], "attributes.status = 'FINISHED'")]
    assert all(finished.count(name) == 1 for name in TRIALS), finished


def _objects(bucket: str) -> int:
    """The number of objects in the bucket; the test's environment names the store and its keys."""
    return int(boto3.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"])


def _skipped(api: str, run_id: str) -> None:
    """A run with nothing new is skipped, and its name tells it."""
    wait_until(lambda: _flow_run(api, run_id)["state"]["type"] == "COMPLETED", 300, "the end of the run")
    run = _flow_run(api, run_id)
    assert run["name"].endswith("(skipped)") and run["state"]["name"] == "Cached"
    assert run["state"]["message"].startswith("nothing new: all ")


def _failed(workspace: Path, api: str, deployment: str) -> tuple[str, str]:
    """The ids of a run with a training that fails, and of the task of the training."""
    broken = {"method": "lora", "mixture": "boxes", "lora": {"targets": ["nothing"]}}
    edit(workspace, "experiments", lambda p: p["experiments"].update(broken=broken))
    run = _run(api, deployment, ["broken"], lambda state: state["type"] == "FAILED", 400)
    edit(workspace, "experiments", lambda p: p["experiments"].pop("broken"))
    tasks = {task["name"]: task for task in _post(f"{api}/task_runs/filter", _of_run(run["id"]))}
    behind = {name: tasks[name]["state"]["name"] for name in ("predict@broken", "score@broken", "compare")}
    assert behind == dict.fromkeys(behind, "NotRun")
    return run["id"], tasks["train@broken"]["id"]


def _crashed(workspace: Path, api: str, deployment: str, worker: subprocess.Popen[bytes]) -> None:
    """A run whose worker is killed with all its processes is marked as crashed within two minutes."""
    edit(workspace, "experiments", lambda p: p["experiments"].update(lora=p["experiments"]["weak"]))
    train_without_end(workspace)
    run = _run(api, deployment, ["lora"], lambda state: state["type"] == "RUNNING", 200)
    log = workspace.with_suffix(".log")
    wait_until(lambda: "'train@lora' - step" in log.read_text(), 400, "the training")
    _kill(worker)
    killed = time.monotonic()
    wait_until(lambda: _flow_run(api, run["id"])["state"]["type"] == "CRASHED", 150, "the run to be marked")
    assert time.monotonic() - killed < 120
    assert "no heartbeat arrived for 90 seconds" in _flow_run(api, run["id"])["state"]["message"]


def _run(
    api: str, deployment: str, experiments: list[str], reached: Callable[[dict[str, Any]], bool], seconds: float
) -> dict[str, Any]:
    """Start a run in the workspace itself, and wait until its state is ``reached``."""
    parameters = {"experiments": experiments, "workers": False}
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    run_id = _post(f"{api}/deployments/{deployment}/create_flow_run", body)["id"]
    wait_until(lambda: reached(_flow_run(api, run_id)["state"]), seconds, "the flow run's state")
    return _flow_run(api, run_id)


def _scheduled_run(api: str) -> dict[str, Any] | None:
    """The first run of ``retrain`` that the schedule made, once it runs; a second one waits for the workspace."""
    retrains = {"flows": {"name": {"any_": ["retrain"]}}, "sort": "EXPECTED_START_TIME_ASC"}
    runs = _post(f"{api}/flow_runs/filter", retrains)
    return next((run for run in runs if run["auto_scheduled"] and run["state"]["type"] == "RUNNING"), None)


def _end_schedule(api: str, deployment: str) -> None:
    """The run of the first minute is enough; the server drops those that it made for later ones."""
    (schedule,) = httpx.get(f"{api}/deployments/{deployment}/schedules").raise_for_status().json()
    change = httpx.patch(f"{api}/deployments/{deployment}/schedules/{schedule['id']}", json={"active": False})
    change.raise_for_status()


def _paused(api: str) -> str | None:
    runs = _post(f"{api}/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}})
    return runs[0]["id"] if runs else None


def _by_hand(api: str) -> str | None:
    """The id of the one run of ``retrain`` that no schedule made."""
    retrains = {"flows": {"name": {"any_": ["retrain"]}}}
    runs = _post(f"{api}/flow_runs/filter", retrains)
    return next((run["id"] for run in runs if not run["auto_scheduled"]), None)


def _of_run(run_id: str) -> dict[str, Any]:
    return {"flow_runs": {"id": {"any_": [run_id]}}}


def _flow_run(api: str, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run_id}").raise_for_status().json()
    return run


def _post(url: str, body: dict[str, Any]) -> Any:
    return httpx.post(url, json=body).raise_for_status().json()
