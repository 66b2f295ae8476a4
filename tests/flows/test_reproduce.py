"""``tunesmith reproduce``: a registered model is built again from its stored state, with the same weights."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from flows.commands.reproduce import environment_differences, reproduce
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tests.flows.command_line import Cli
from tests.workspaces import commit, copy_workspace


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, built_workspace: Path) -> Path:
    root = copy_workspace(built_workspace, tmp_path_factory.mktemp("reproduce") / "workspace")
    commit(root)
    return root


def contents(root: Path) -> dict[str, str]:
    """The workspace's files outside git's and Tunesmith's own state."""
    skipped = {".git", ".tunesmith", ".cache", "tmp", "__pycache__"}
    paths = (path for path in sorted(root.rglob("*")) if path.is_file() and not skipped & set(path.parts))
    return {path.relative_to(root).as_posix(): files.sha256(path) for path in paths}


@pytest.mark.slow
def test_a_version_is_built_again_with_equal_weights(registered: Path, cli: Cli) -> None:
    code, _ = cli(registered, "promote", "lora", "--why", "first")
    assert code == 0
    before = contents(registered)
    code, printed = cli(registered, "reproduce")
    weights = files.read_json(Paths(registered).model("lora") / "manifest.json")["weights_sha256"]
    assert code == 0, printed
    assert f"the weights are equal: sha256 {weights}" in printed
    assert "Stage 'generate@demo' didn't change, skipping" in printed, "the source comes from the cache"
    assert "Running stage 'train@lora'" in printed
    assert contents(registered) == before
    trees = subprocess.run(["git", "worktree", "list"], cwd=registered, capture_output=True, text=True, check=True)
    assert len(trees.stdout.splitlines()) == 1
    shutil.rmtree(registered / ".git")
    with pytest.raises(TunesmithError, match="which this repository lacks"):
        reproduce(registered, None, lambda line: None)


def test_other_versions_and_devices_are_named() -> None:
    here = {"torch": version("torch"), "peft": version("peft")}
    manifest = {"versions": here, "computed": {"device": "cpu"}, "params": {}}
    assert environment_differences(manifest) == []
    other = manifest | {"versions": here | {"torch": "1.0", "gone": "2"}, "computed": {"device": "cuda"}}
    assert environment_differences(other) == [
        f"torch is {version('torch')} here and was 1.0",
        "gone is not installed here and was 2",
        "this machine computes on cpu; the training ran on cuda",
    ]
