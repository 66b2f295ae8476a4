"""A backup, restored into an empty folder: nothing is stale, and the champion generates the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.commands.backup import backup, restore
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.register.people import promote_by_hand
from tasks.register.run import run
from tasks.registry.result import Person
from tasks.registry.verdict import result_on_present
from tasks.tracking.sync import sync
from tests.flows.command_line import Cli
from tests.workspaces import copy_workspace, dvc


@pytest.fixture
def root(tmp_path: Path, built_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = copy_workspace(built_workspace, tmp_path / "workspace")
    for name in ("mlflow.db", "mlartifacts"):  # MLflow keeps the artifacts of a run id in memory: each test has its own
        files.remove(root / name)
    monkeypatch.setenv("TUNESMITH_CACHE", str(root / ".cache"))
    paths = Paths(root)
    sync(paths)
    params = load(RegistrationParams, paths.params / "registration.yaml", "registration")
    run(params, paths)
    promote_by_hand("lora", Person("Ada", "trial"), params, paths)
    return root


def test_a_lost_workspace_is_restored(root: Path, tmp_path: Path, cli: Cli) -> None:
    (root / "params/notes.txt").write_text("not committed")
    with (root / "params/experiments.yaml").open("a") as stream:
        stream.write("# changed, not committed\n")
    code, before = cli(root, "predict", "--experiment", "models:/tunesmith@champion", "my lamp is dark")
    assert code == 0, before
    verdict = result_on_present(Paths(root))
    assert verdict is not None
    ledger = (root / "decisions.jsonl").read_text()
    printed: list[str] = []
    backup(root, tmp_path / "backup", printed.append)
    assert {"MLflow's database", "DVC's cache", "base model base"} <= set(printed)
    shutil.rmtree(root)
    again = tmp_path / "again"
    restore(tmp_path / "backup", again, printed.append)
    assert dvc(again, "status", "--json").stdout.strip() == "{}"
    assert (again / "params/notes.txt").read_text() == "not committed"
    assert (again / "params/experiments.yaml").read_text().endswith("# changed, not committed\n")
    assert (again / "decisions.jsonl").read_text() == ledger
    assert result_on_present(Paths(again)) == verdict
    code, after = cli(again, "predict", "--experiment", "models:/tunesmith@champion", "my lamp is dark")
    assert code == 0 and _last(after) == _last(before)


def _last(printed: str) -> str:
    return printed.strip().splitlines()[-1]


def test_what_cannot_be_written_or_read_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="must be a new folder outside the workspace"):
        backup(root, root / "backup", print)
    with pytest.raises(TunesmithError, match="must be a backup"):
        restore(tmp_path, tmp_path / "again", print)
    (tmp_path / "backup").mkdir()
    files.write_json(tmp_path / "backup/backup.json", {"commit": "0"})
    with pytest.raises(TunesmithError, match="must be a new or empty folder"):
        restore(tmp_path / "backup", root, print)
