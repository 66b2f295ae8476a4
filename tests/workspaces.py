"""Whole workspaces in a temporary folder: this project's DAG on a tiny model."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock

from tasks.core import files
from tasks.core.params import read_yaml, write_yaml

ROOT = Path(__file__).parent.parent


def lay_out(root: Path) -> None:
    """Make ``root`` a git repository with this project's code, parameters and stages, as a clone would be."""
    root.mkdir(parents=True)
    for name in ("tasks", "params"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)


def make_workspace(root: Path, base_model: Path) -> Path:
    """A workspace as a clone would be, with fewer rows and the base model ``base_model``."""
    lay_out(root)
    shutil.copytree(base_model, root / "base")
    (root / "base/.gitignore").write_text("*\n")
    edit(root, "sources", lambda p: p["generated"]["demo"].update(train_rows=24, test_rows=8))
    edit(root, "training", _small_training)
    edit(root, "registration", lambda p: p["registration"].update(min_groups=8))
    edit(root, "evaluation", lambda p: p["evaluate"].update(generation={"max_new_tokens": 8}, threads=1))
    commit(root)
    return root


def once(folder: Path, build: Callable[[Path], object]) -> Path:
    """The workspace that ``build`` makes in ``folder``: the first process that needs it builds it, all read it."""
    folder.mkdir(exist_ok=True)
    root = folder / "workspace"
    with FileLock(folder / "lock"):
        if not (folder / "built").exists():
            files.remove(root)  # of a process that failed
            build(root)
            (folder / "built").touch()
    return root


def build_data(root: Path, base_model: Path) -> None:
    """A workspace whose data is built: the mixture and the evaluation set."""
    make_workspace(root, base_model)
    dvc(root, "repro", "mix@demo")


def build_all(root: Path, base_model: Path) -> None:
    """A workspace in which ``dvc repro`` built all of ``base``, with an example in its prompts, and ``lora``."""
    make_workspace(root, base_model)
    edit(root, "experiments", lambda p: p["experiments"].pop("full"))
    edit(root, "experiments", lambda p: p["experiments"]["base"].update(evaluation={"shots": 1}))
    commit(root)
    dvc(root, "repro")


def copy_workspace(workspace: Path, root: Path) -> Path:
    """A copy with its cache, for tests that change it. MLflow's artifacts belong to the copy."""
    shutil.copytree(workspace, root, symlinks=True)
    if (root / "mlflow.db").exists():
        own_artifacts(root)
    return root


def own_artifacts(root: Path) -> None:
    """MLflow's file is a copy of another workspace's: its artifacts belong here."""
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        where = ((root / "mlartifacts").as_uri(), "tunesmith")
        database.execute("update experiments set artifact_location = ? where name = ?", where)


def _small_training(params: dict[str, Any]) -> None:
    params["base_models"] = {"tiny": "./base"}
    params["defaults"] |= {"base_model": {"name": "./base"}, "threads": 1, "max_length": 4096}
    params["defaults"]["training"] |= {"token_budget": 4096, "log_every": 1}


def edit(root: Path, file: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the mapping in ``params/FILE.yaml`` in place."""
    path = root / f"params/{file}.yaml"
    params = read_yaml(path)
    change(params)
    write_yaml(path, params)


def commit(root: Path) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", *identity, "commit", "-q", "-m", "test"], cwd=root, check=True)


def environment(root: Path) -> dict[str, str]:
    """For subprocesses: this Python first on the path, everything written inside the workspace."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TUNESMITH_ROOT": str(root), "TUNESMITH_CACHE": str(root / ".cache")}


def dvc(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run ``dvc``; with ``check``, a failure shows its output."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout
    return done


def ran(output: str) -> list[str]:
    """The stages whose commands ran, in order, by DVC's output."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
    return [line.split("'")[1] for line in lines]
