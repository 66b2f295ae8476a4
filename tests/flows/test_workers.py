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
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from mlflow import MlflowClient
from playwright.sync_api import Page

from tasks.core import files
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tests.boxes import build, experiment, training
from tests.browser import browser
from tests.flows.prefect_pages import (
    approve_on_page,
    see_comparison,
    see_details,
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
_ALL: dict[str, Any] = {}


@dataclass(frozen=True)
class Workplace:
    """A team's servers, and the workspace that a scheduled run on them has trained.

    Attributes:
        root: the flow's workspace.
        deployed: what ``tunesmith deploy`` printed.
        deployments: name → id.
        worker: the process that runs the flows of ``root``.
        scheduled: id of the run that the schedule made.
        received: bodies of the requests that the webhook got.
    """

    root: Path
    servers: Team
    deployed: str
    deployments: dict[str, str]
    worker: subprocess.Popen[bytes]
    scheduled: str
    received: list[str]

    @property
    def api(self) -> str:
        return self.servers.prefect

    @property
    def pages(self) -> str:
        return self.servers.prefect.removesuffix("/api")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs, workspaces and screenshots."""
    return tmp_path_factory.mktemp("team")


@pytest.fixture(scope="module")
def workplace(folder: Path) -> Iterator[Workplace]:
    """A schedule fires on a worker; two clones train four trials, and one of them is killed in a training."""
    root, clones = folder / "workspace", [folder / "clone-1", folder / "clone-2"]
    with (
        team(folder) as servers,
        recording_server(HTTPStatus.OK) as (url, received),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in servers.variables().items():
            patch.setenv(name, value)
        _lay_out(root, clones, servers)
        api = servers.prefect
        _save_block(api, url)
        deployed = tunesmith(root, "deploy")
        deployments = {one["name"]: one["id"] for one in _post(f"{api}/deployments/filter", _ALL)}
        with _worker(root, "tunesmith") as worker:
            with _worker(clones[0]) as first, _worker(clones[1]) as second:
                run = wait_until(lambda: _scheduled_run(api), 200, "a run that the schedule made to start")
                _end_schedule(api, deployments["retrain"])
                wait_until(lambda: any((one / "checkpoints").exists() for one in clones), 300, "a training in a clone")
                killed = 0 if (clones[0] / "checkpoints").exists() else 1
                _kill((first, second)[killed])
                with _worker(clones[killed]):  # a supervisor starts it again
                    # Without a page, whose timeline is drawn anew all the time, and takes a core.
                    wait_until(lambda: _flow_run(api, run["id"])["state"]["type"] == "COMPLETED", 900, "its end")
            yield Workplace(root, servers, deployed, deployments, worker, run["id"], received)


@pytest.fixture(autouse=True)
def variables(workplace: Workplace, own_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of a test use the team's servers; ``own_store`` has removed a variable before."""
    for name, value in workplace.servers.variables().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def page(workplace: Workplace) -> Iterator[Page]:
    with browser() as browsed:
        yield browsed.page


def test_each_trial_ended_once(workplace: Workplace) -> None:
    runs = _post(f"{workplace.api}/flow_runs/filter", _ALL)
    ends = {name: sorted(run["state"]["type"] for run in runs if run["name"] == f"build {name}") for name in TRIALS}
    assert {name: states.count("COMPLETED") for name, states in ends.items()} == dict.fromkeys(TRIALS, 1)
    assert sum(run["state"]["type"] == "CRASHED" and run["name"].startswith("build ") for run in runs) == 1, ends
    root = workplace.root
    weights = {files.read_json(Paths(root).model(name) / "manifest.json")["weights_sha256"] for name in TRIALS}
    assert len(weights) == len(TRIALS)
    assert dvc(root, "status", "--json").stdout.strip() == "{}"
    client = MlflowClient(tracking_uri=workplace.servers.mlflow)
    own = client.get_experiment_by_name("tunesmith")
    assert own is not None
    finished = [run.info.run_name for run in client.search_runs([own.experiment_id], "attributes.status = 'FINISHED'")]
    assert all(finished.count(name) == 1 for name in TRIALS), finished
    assert all(_objects(bucket) for bucket in BUCKETS), "artifacts and outputs are in the store"


def test_the_pages_show_what_ran_and_a_person_approves(workplace: Workplace, page: Page, folder: Path) -> None:
    api, pages, root = workplace.api, workplace.pages, workplace.root
    reason = "-3 is less than or equal to the minimum of 0"
    see_refusal(page, pages, workplace.deployments["approve"], "-3", reason, folder)
    wait_for_state(page, pages, workplace.scheduled, "Completed", 60)
    tasks = ["build@weak", "train@weak", "compare", "register"]
    see_run(page, pages, workplace.scheduled, _flow_run(api, workplace.scheduled)["name"], tasks, folder)
    see_comparison(page, pages, workplace.scheduled, ["weak", "awaits approval", "report.html"], folder)
    approval = wait_until(lambda: _paused(api), 300, "the flow approve to pause")
    approve_on_page(page, pages, approval, "read all rows", "Ada", folder)
    wait_for_state(page, pages, approval, "Completed", 300)
    see_details(page, "weak accepted: tunesmith version 1 is now", "approved", folder)
    page.goto("about:blank")
    assert "version 1, experiment weak" in tunesmith(root, "champion")
    assert '"by":"Ada"' in (root / "decisions.jsonl").read_text().splitlines()[-1]
    titles = ["weak (version 1) awaits approval", "weak (version 1) is the champion"]
    received = workplace.received
    wait_until(lambda: all(any(title in text for text in received) for title in titles), 200, str(titles))


def test_a_run_of_the_form_with_nothing_new_is_skipped(workplace: Workplace, page: Page, folder: Path) -> None:
    start_from_form(page, workplace.pages, workplace.deployments["retrain"], "weak", folder)
    page.goto("about:blank")
    run_id = wait_until(lambda: _by_hand(workplace.api), 60, "the run of the form")
    wait_until(lambda: _flow_run(workplace.api, run_id)["state"]["type"] == "COMPLETED", 300, "the end of the run")
    run = _flow_run(workplace.api, run_id)
    assert run["name"].endswith("(skipped)") and run["state"]["name"] == "Cached"
    assert run["state"]["message"].startswith("nothing new: all ")


def test_a_failed_training_is_named_on_its_pages(workplace: Workplace, page: Page, folder: Path) -> None:
    api, root = workplace.api, workplace.root
    broken = {"method": "lora", "mixture": "boxes", "lora": {"targets": ["nothing"]}}
    edit(root, "experiments", lambda p: p["experiments"].update(broken=broken))
    run = _run(workplace, ["broken"], lambda state: state["type"] == "FAILED", 400)
    edit(root, "experiments", lambda p: p["experiments"].pop("broken"))
    tasks = {task["name"]: task for task in _post(f"{api}/task_runs/filter", _of_run(run["id"]))}
    behind = {name: tasks[name]["state"]["name"] for name in ("predict@broken", "score@broken", "compare")}
    assert behind == dict.fromkeys(behind, "NotRun")
    error = "error: params/experiments.yaml: lora.targets: 'nothing' must be a layer of"
    see_failure(page, workplace.pages, run["id"], ["1 stage failed: train@broken.", error], folder)
    see_failed_task(page, workplace.pages, tasks["train@broken"]["id"], f"train@broken: {error}", folder)


def test_a_run_whose_worker_is_killed_is_marked_as_crashed_within_two_minutes(
    workplace: Workplace, page: Page, folder: Path
) -> None:
    """No test after it starts a flow, since nothing runs any."""
    api, root, stuck = workplace.api, workplace.root, _taken(workplace)
    edit(root, "experiments", lambda p: p["experiments"].update(lora=p["experiments"]["weak"]))
    train_without_end(root)
    run = _run(workplace, ["lora"], lambda state: state["type"] == "RUNNING", 200)
    log = root.with_suffix(".log")
    wait_until(lambda: "'train@lora' - step" in log.read_text(), 400, "the training")
    wait_for_state(page, workplace.pages, run["id"], "Running", 60)
    page.screenshot(path=folder / "running.png")
    page.goto("about:blank")
    _kill(workplace.worker)
    killed = time.monotonic()
    wait_until(lambda: _flow_run(api, run["id"])["state"]["type"] == "CRASHED", 150, "the run to be marked")
    assert time.monotonic() - killed < 120
    assert "no heartbeat arrived for 90 seconds" in _flow_run(api, run["id"])["state"]["message"]
    wait_until(lambda: _flow_run(api, stuck)["state"]["type"] == "CRASHED", 120, "the run that never started")
    assert "its process did not start within 100 seconds" in _flow_run(api, stuck)["state"]["message"]


def test_deploy_names_what_it_made_and_updates_it(workplace: Workplace) -> None:
    """The last test: deploying switches the schedule of each minute on again."""
    assert set(workplace.deployments) == {"retrain", "approve", "evaluate-champion", "restore", "build"}
    assert "work pool tunesmith: created, of the type process" in workplace.deployed
    assert "tunesmith: mark a dead flow run as crashed: created" in workplace.deployed
    assert "tunesmith: mark a flow run that never starts as crashed: created" in workplace.deployed
    assert "tunesmith: notify about a model: created" in workplace.deployed
    assert "tunesmith: mark a dead flow run as crashed: updated" in tunesmith(workplace.root, "deploy")


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


def _objects(bucket: str) -> int:
    """The number of objects in the bucket; the test's environment names the store and its keys."""
    return int(boto3.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"])


def _run(
    workplace: Workplace, experiments: list[str], reached: Callable[[dict[str, Any]], bool], seconds: float
) -> dict[str, Any]:
    """Start a run in the workspace itself, and wait until its state is ``reached``."""
    parameters = {"experiments": experiments, "workers": False}
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    api, deployment = workplace.api, workplace.deployments["retrain"]
    run_id = _post(f"{api}/deployments/{deployment}/create_flow_run", body)["id"]
    wait_until(lambda: reached(_flow_run(api, run_id)["state"]), seconds, "the flow run's state")
    return _flow_run(api, run_id)


def _taken(workplace: Workplace) -> str:
    """A run that a worker took and did not start: it is ``Pending``."""
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
    api, deployment = workplace.api, workplace.deployments["retrain"]
    run_id = str(_post(f"{api}/deployments/{deployment}/create_flow_run", {"state": later})["id"])
    _post(f"{api}/flow_runs/{run_id}/set_state", {"state": {"type": "PENDING"}, "force": True})
    return run_id


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
