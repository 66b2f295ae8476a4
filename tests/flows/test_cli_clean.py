"""``tunesmith clean`` and ``tunesmith sync`` on a built tiny workspace: what is removed, and what is restored."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tasks.core.params import read_yaml, write_yaml
from tests.flows.command_line import BUILT, Cli, ledger
from tests.workspaces import commit, copy_workspace, dvc, edit, ran


def test_clean_removes_what_no_parameter_names(built: Path, cli: Cli, tmp_path: Path) -> None:
    root = copy_workspace(built, tmp_path / "workspace")
    edit(root, "experiments", lambda p: p["experiments"].pop("lora"))
    (root / "models/.base.99999999.partial").mkdir()
    (root / f"models/.lora.{os.getpid()}.partial").mkdir()  # a process that lives may be writing it
    (root / "checkpoints/old").mkdir(parents=True)
    (root / "data/scoring/gone.json").write_text("{}")  # of a source that is gone
    _, planned = cli(root, "clean", "--dry-run")
    assert "would remove models/lora" in planned and (root / "models/lora").exists()
    _, printed = cli(root, "clean")
    removed = ("models/lora", "runs/lora", "reports/predictions/lora", "reports/experiments/lora")
    for path in (*removed, "models/.base.99999999.partial", "data/scoring/gone.json"):
        assert f"removed {path}" in printed and not (root / path).exists()
    assert "dropped train@lora from dvc.lock" in printed
    assert (root / "models/base/manifest.json").exists()
    assert (root / "checkpoints/old").exists()
    assert "removed checkpoints/old" in cli(root, "clean", "--checkpoints")[1]
    (root / f"models/.lora.{os.getpid()}.partial").rmdir()
    assert cli(root, "clean") == (0, "nothing to remove\n")
    assert ran(dvc(root, "repro").stdout) == ["resolve", "compare"]


def test_clean_removes_what_the_stage_evaluate_of_earlier_versions_left(built: Path, cli: Cli, tmp_path: Path) -> None:
    root = copy_workspace(built, tmp_path / "workspace")
    (root / "runs/lora/evaluate").mkdir()
    lock = read_yaml(root / "dvc.lock")
    lock["stages"]["evaluate@lora"] = lock["stages"]["score@lora"]
    write_yaml(root / "dvc.lock", lock)
    _, printed = cli(root, "clean")
    assert printed.splitlines() == ["removed runs/lora/evaluate", "dropped evaluate@lora from dvc.lock"]
    assert not (root / "runs/lora/evaluate").exists() and (root / "runs/lora/train/run.json").exists()
    assert "evaluate@lora" not in read_yaml(root / "dvc.lock")["stages"]
    assert dvc(root, "status", "--json").stdout.strip() == "{}"


def test_a_restored_workspace_gets_the_same_ledger(built: Path, cli: Cli, tmp_path: Path) -> None:
    """Files from DVC's cache, an empty MLflow store, and ``tunesmith sync``."""
    cli(built, "sync")
    commit(built)
    root = tmp_path / "restored"
    shutil.copytree(built, root, ignore=shutil.ignore_patterns(*BUILT, ".dvc"), symlinks=True)
    shutil.copytree(built / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    dvc(root, "cache", "dir", "--local", str(built / ".dvc/cache"))
    dvc(root, "checkout")
    code, printed = cli(root, "sync")
    assert code == 0 and "lora: completed" in printed
    first, second = ledger(built), ledger(root)
    assert set(first) == {"base", "lora"}
    assert first == second
