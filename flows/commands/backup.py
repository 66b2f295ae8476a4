"""``tunesmith backup`` and ``tunesmith restore``: the state of a workspace in a folder, and back.

A backup holds ``repository.bundle`` (git), ``uncommitted.patch`` and ``untracked/`` (what git does not hold yet),
``cache/`` (DVC's cache with its run cache), ``mlflow.db`` and ``mlartifacts/``, ``prefect.db``, ``bases/`` (local base
models), ``gate/`` (the gate's verdicts on comparisons) and ``backup.json``. Databases on servers are not part of it.
"""

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

from flows.workspace import running_prefect, workspace_lock
from tasks.core import files, git
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, value_at
from tasks.core.paths import TRACKING_VARIABLE, Paths
from tasks.registry.decisions import now

Say = Callable[[str], None]

_BUNDLE, _PATCH, _UNTRACKED, _CACHE = "repository.bundle", "uncommitted.patch", "untracked", "cache"
_BASES, _MLFLOW, _ARTIFACTS, _PREFECT, _ABOUT = "bases", "mlflow.db", "mlartifacts", "prefect.db", "backup.json"
_GATE = "gate"


def backup(root: Path, target: Path, say: Say) -> None:
    """Write the state of the workspace to the new folder ``target``.

    Flows wait meanwhile, and it waits for a flow. The folder appears when it is complete.

    Args:
        say: prints each part, and what is not part of the backup.

    Raises:
        TunesmithError: ``target`` exists, lies in the workspace, or the workspace has no commit.
    """
    target = target.resolve()
    if target.exists() or target.is_relative_to(root):
        raise TunesmithError(f"{target}: a backup must be a new folder outside the workspace; choose another")
    with workspace_lock(root, "tunesmith backup"), files.replacing(target) as folder:
        folder.mkdir(parents=True)
        _write_repository(root, folder, say)
        _copy(_cache_of(root), folder / _CACHE, "DVC's cache", say)
        for base in _local_bases(root):
            _copy(root / base, folder / _BASES / base, f"base model {base}", say)
        _copy(Paths(root).gate("any").parent, folder / _GATE, "the gate's verdicts", say)
        _write_stores(root, folder, say)
        files.write_json(folder / _ABOUT, {"time": now(), "commit": git.text(root, "rev-parse", "HEAD").strip()})


def restore(folder: Path, target: Path, say: Say) -> None:
    """Restore the backup in ``folder`` into the new or empty folder ``target``, which becomes a workspace.

    Raises:
        TunesmithError: ``folder`` is no backup, ``target`` is not empty, or a part cannot be restored.
    """
    folder, target = folder.resolve(), target.resolve()
    if not (folder / _ABOUT).exists():
        raise TunesmithError(f"{folder}: must be a backup (a folder with {_ABOUT}); it is not")
    if target.exists() and any(target.iterdir()):
        raise TunesmithError(f"{target}: must be a new or empty folder; it holds files; choose another")
    _read_repository(folder, target)
    say("git: commits and uncommitted changes")
    _copy(folder / _CACHE, target / ".dvc/cache", "DVC's cache", say)
    for base in _local_bases(target):
        _copy(folder / _BASES / base, target / base, f"base model {base}", say)
    state = Paths(target).state
    for name, destination in {_MLFLOW: target / _MLFLOW, _PREFECT: state / "prefect/prefect.db"}.items():
        if (folder / name).exists():
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, destination)
            say(name)
    _copy(folder / _ARTIFACTS, target / _ARTIFACTS, "MLflow's artifacts", say)
    _copy(folder / _GATE, Paths(target).gate("any").parent, "the gate's verdicts", say)
    _checkout(target, say)


def _write_repository(root: Path, folder: Path, say: Say) -> None:
    if not git.text(root, "rev-parse", "--verify", "--quiet", "HEAD").strip():
        raise TunesmithError(f"{root}: must be a git repository with a commit; it is not; commit the workspace first")
    git.run(root, "bundle", "create", "--quiet", str(folder / _BUNDLE), "HEAD", "--all")
    patch = git.run(root, "diff", "--binary", "HEAD")
    if patch:
        (folder / _PATCH).write_bytes(patch)
    untracked = os.fsdecode(git.run(root, "ls-files", "--others", "--exclude-standard", "-z")).split("\0")
    for name in filter(None, untracked):
        (folder / _UNTRACKED / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, folder / _UNTRACKED / name)
    say("git: commits, uncommitted changes and untracked files")


def _read_repository(folder: Path, target: Path) -> None:
    commit = files.read_json(folder / _ABOUT)["commit"]
    git.run(folder, "clone", "--quiet", str(folder / _BUNDLE), str(target))
    git.run(target, "checkout", "--quiet", "-B", _branch(target, commit), commit)
    git.run(target, "remote", "remove", "origin")
    if (folder / _PATCH).exists():
        git.run(target, "apply", "--binary", str(folder / _PATCH))
    if (folder / _UNTRACKED).exists():
        shutil.copytree(folder / _UNTRACKED, target, dirs_exist_ok=True)


def _branch(target: Path, commit: str) -> str:
    """The branch of the clone, or ``main`` if the workspace was at no branch."""
    name = git.text(target, "branch", "--show-current").strip()
    return name or "main"


def _write_stores(root: Path, folder: Path, say: Say) -> None:
    if os.environ.get(TRACKING_VARIABLE):
        say(f"not part of it: MLflow at {os.environ[TRACKING_VARIABLE]}; back up its database and its artifacts there")
    elif (root / _MLFLOW).exists():
        _copy_database(root / _MLFLOW, folder / _MLFLOW)
        say("MLflow's database")
        _copy(root / _ARTIFACTS, folder / _ARTIFACTS, "MLflow's artifacts", say)
    url = os.environ.get("PREFECT_API_URL")
    database = Paths(root).state / "prefect/prefect.db"
    if url and url != running_prefect(root):
        say(f"not part of it: Prefect at {url}; back up its database there")
    elif database.exists():
        _copy_database(database, folder / _PREFECT)
        say("Prefect's database")


def _copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database as of one moment, also while a server writes it."""
    with closing(sqlite3.connect(source, timeout=60)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)


def _copy(source: Path, target: Path, label: str, say: Say) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
        say(label)


def _cache_of(root: Path) -> Path:
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return Path(repo.cache.local.path).parents[1]


def _local_bases(root: Path) -> list[str]:
    """Folders of base models inside the workspace, relative to it."""
    named: dict[str, Any] = value_at(read_yaml(Paths(root).params / "training.yaml"), "base_models") or {}
    paths = [Path(os.path.normpath(root / str(path))) for path in named.values()]
    return [str(path.relative_to(root)) for path in paths if path.is_relative_to(root) and path != root]


def _checkout(target: Path, say: Say) -> None:
    """Place the outputs that ``dvc.lock`` names in the workspace, from the cache."""
    command = [sys.executable, "-m", "dvc", "checkout", "--force"]
    ended = subprocess.run(
        command, cwd=target, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if ended.returncode:
        reason = " ".join(line for line in ended.stdout.splitlines() if line.startswith("ERROR")) or ended.stdout
        raise TunesmithError(f"{target}: `dvc checkout` failed: {reason}")
    say("the outputs of all stages")
