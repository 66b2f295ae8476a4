"""``infra/``: the project's own files are right, and mistakes in them are named before Prefect reads them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.deploy.apply import worker_commands
from flows.deploy.automations import apply_automations
from flows.deploy.deployments import read_deployments
from flows.deploy.pools import ensure_pools
from flows.deploy.worker import worker_name
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, write_yaml
from tests.workspaces import ROOT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("infra", "params"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def _edit(root: Path, file: str, change: Callable[[dict[str, Any]], Any]) -> None:
    content = read_yaml(root / "infra" / file)
    change(content)
    write_yaml(root / "infra" / file, content)


def test_the_projects_deployments_are_right_and_their_pools_are_described() -> None:
    deployments = read_deployments(ROOT)
    names = {
        "retrain/retrain",
        "approve/approve",
        "evaluate-champion/evaluate-champion",
        "restore/restore",
        "build/build",
    }
    assert {one.name for one in deployments} == names
    assert {one.pool for one in deployments} <= set(read_yaml(ROOT / "infra/work-pools.yaml")["work_pools"])
    scheduled = {one.name: [(s.cron, s.zone, s.active) for s in one.schedules] for one in deployments if one.schedules}
    assert scheduled["retrain/retrain"] == [("0 3 * * 1", "UTC", True)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"entrypoint": "flows.retrain.missing"}, "entrypoint must name a flow as MODULE.FUNCTION"),
        ({"work_pool": "tunesmith"}, "work_pool must be a mapping; it is 'tunesmith'"),
        ({"schedules": {"cron": "0 3 * * 1"}}, "schedules must be a list; it is {'cron': '0 3 * * 1'}"),
        ({"work_pool": {}}, "work_pool.name must be a non-empty text; it is None"),
        ({"parameters": {"refrsh": True}}, "retrain: parameters.refrsh: the flow retrain has no such parameter"),
        ({"parameters": {"refresh": "sometimes"}}, "retrain: parameters.refresh: Input should be a valid boolean"),
        ({"parameters": {"experiments": ["lorra"]}}, "no experiment 'lorra' in params/experiments.yaml; there are: "),
        ({"parameters": {"experiments": ["Lora!"]}}, "String should match pattern"),
        ({"schedules": [{"cron": "0 25 * * 1"}]}, "retrain: schedules: cron '0 25 * * 1': "),
        ({"schedules": [{"cron": "0 3 * * 1", "timezone": "Europe/Berln"}]}, "did you mean Europe/Berlin"),
        ({"schedules": ["0 3 * * 1"]}, "must be a mapping with `cron`"),
        (
            {"work_pool": {"name": "{{ $TUNESMITH_NO_SUCH_POOL }}"}},
            "TUNESMITH_NO_SUCH_POOL, which must be set",
        ),
    ],
)
def test_a_mistake_in_a_deployment_is_named(root: Path, change: dict[str, Any], reason: str) -> None:
    _edit(root, "prefect.yaml", lambda p: p["deployments"][0].update(change))
    with pytest.raises(TunesmithError) as refused:
        read_deployments(root)
    assert reason in str(refused.value) and str(refused.value).startswith(f"{root / 'infra/prefect.yaml'}: ")


def test_all_mistakes_are_named_at_once(root: Path) -> None:
    _edit(root, "prefect.yaml", lambda p: [one.update(work_pool=None) for one in p["deployments"]])
    with pytest.raises(TunesmithError) as refused:
        read_deployments(root)
    assert len(str(refused.value).splitlines()) == 5
    _edit(root, "prefect.yaml", lambda p: p.update(deployments=[]))
    with pytest.raises(TunesmithError, match="`deployments` must be a list with at least one deployment"):
        read_deployments(root)


def test_an_environment_variable_is_filled_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_TEST_POOL", "team")
    _edit(root, "prefect.yaml", lambda p: p["deployments"][0].update(work_pool={"name": "{{ $TUNESMITH_TEST_POOL }}"}))
    assert read_deployments(root)[0].pool == "team"


@pytest.mark.usefixtures("prefect_server")
def test_pools_are_created_once_and_automations_updated(root: Path) -> None:
    printed: list[str] = []
    ensure_pools(root, ["tunesmith", "tunesmith", "tunesmith-docker"], printed.append)
    ensure_pools(root, ["tunesmith"], printed.append)
    assert printed == [
        f"work pool tunesmith{end}"
        for end in (": created, of the type process", "-docker: created, of the type docker")
    ]
    with pytest.raises(TunesmithError, match="must describe the pool 'other', which a deployment names"):
        ensure_pools(root, ["other"], printed.append)
    _edit(root, "work-pools.yaml", lambda p: p["work_pools"].update(other={"type": "processs"}))
    with pytest.raises(TunesmithError, match=r"work_pools\.other\.type: must be one of .*process.*; it is 'processs'"):
        ensure_pools(root, ["other"], printed.append)
    template = {"type": "process", "base_job_template": "infra/work-pools.yaml"}
    _edit(root, "work-pools.yaml", lambda p: p["work_pools"].update(other=template))
    with pytest.raises(TunesmithError, match=r"must have the keys .* it lacks job_configuration and variables"):
        ensure_pools(root, ["other"], printed.append)
    printed.clear()
    apply_automations(root, printed.append)
    dead, _, news, _ = printed
    assert dead == "tunesmith: mark a dead flow run as crashed: created"
    assert news.startswith(
        "tunesmith: notify about a model: not on the server, since none of these blocks exists: slack"
    )
    with get_client(sync_client=True) as client:
        (crash,) = client.read_automations_by_name("tunesmith: mark a dead flow run as crashed")
        client.pause_automation(crash.id)
        apply_automations(root, printed.append)
        (again,) = client.read_automations_by_name(crash.name)
    assert again.id == crash.id and not again.enabled, "whoever switched it off wants it off"
    assert printed[4].endswith("crashed: updated; it is disabled")
    _edit(root, "automations.yaml", lambda p: p["automations"][0]["trigger"].update(posture="Sometimes"))
    with pytest.raises(TunesmithError, match="automation 1, tunesmith: mark a dead flow run as crashed: trigger"):
        apply_automations(root, printed.append)


def test_the_worker_of_each_pool_is_named_once(root: Path) -> None:
    here = "start a worker in this workspace:  tunesmith worker --pool "
    build = "the runs of build need a worker of their own (docs/workers.md):  tunesmith worker --pool "
    assert worker_commands(read_deployments(root)) == [f"{here}tunesmith", f"{build}tunesmith-clones"]
    _edit(root, "prefect.yaml", lambda p: p["deployments"][0].update(work_pool={"name": "nightly"}))
    _edit(root, "prefect.yaml", lambda p: [one.update(work_pool={"name": "nightly"}) for one in p["deployments"][-1:]])
    assert read_deployments(root)[-1].name == "build/build"
    assert worker_commands(read_deployments(root)) == [f"{here}nightly", f"{here}tunesmith"]


def test_a_workers_name_has_no_sign_that_prefect_refuses() -> None:
    assert not set(worker_name(Path("/home/100%/tune smith"))) & {"/", "%"}
