"""The state of the workspace that a registered version was built from, stored with its MLflow run.

The run's folder ``state`` holds ``dvc.lock``, ``params/``, the ``.dvc`` files of the sources, ``git.json`` (``commit``,
``uncommitted``: whether tracked files differ from it, ``untracked``: code files that git does not know, and
``trained_at``: the commit that the training noted, with ``-dirty`` if files differed), and
``uncommitted.patch`` with these differences. Together with git and DVC's cache, it describes
how to build the version again.

``rows.parquet`` has the test rows with which it was registered and their scores, without any text, and
``evaluation.json`` how it was evaluated (``generation`` and ``shots``). The run's own report changes with later rows.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.core import files, git
from tasks.core.paths import Paths

FOLDER = "state"
GIT, PATCH, LOCK = "git.json", "uncommitted.patch", "dvc.lock"
ROWS, EVALUATION = "rows.parquet", "evaluation.json"
_CODE = ("tasks", "flows")
_TEXTS = ("prompt", "text", "references", "completion")


def log_state(client: Any, run_id: str, experiment: str, paths: Paths, report: Path) -> None:
    """Store the workspace's state in the run ``run_id`` of ``experiment``, unless an earlier registration did.

    A flow trains and registers from one state. Before a registration by hand the code may have changed since the
    training; ``trained_at`` of ``git.json`` then tells.

    Args:
        report: folder of the report that the registration judged.
    """
    if client.list_artifacts(run_id, FOLDER):
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if (paths.root / LOCK).exists():
            shutil.copy(paths.root / LOCK, folder / LOCK)
        for source in [*paths.params.glob("*.yaml"), *paths.sources.glob("*.dvc")]:
            target = folder / source.relative_to(paths.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        commit = git.text(paths.root, "rev-parse", "HEAD").strip()
        patch = git.output(paths.root, "diff", "--binary", "HEAD", "--", ".", f":!{LOCK}") if commit else b""
        listed = git.output(paths.root, "ls-files", "--others", "--exclude-standard", "-z", "--", *_CODE)
        untracked = [name for name in listed.decode(errors="replace").split("\0") if name]
        run = paths.run(experiment, "train") / "run.json"
        trained_at = files.read_json(run).get("git_commit") if run.exists() else None
        facts = {"commit": commit or None, "uncommitted": bool(patch), "untracked": untracked, "trained_at": trained_at}
        files.write_json(folder / GIT, facts)
        if patch:
            (folder / PATCH).write_bytes(patch)
        _write_rows(report, folder)
        client.log_artifacts(run_id, str(folder), FOLDER)


def _write_rows(report: Path, folder: Path) -> None:
    table = pq.read_table(report / "predictions.parquet")
    pq.write_table(table.drop_columns([name for name in _TEXTS if name in table.column_names]), folder / ROWS)
    metrics = files.read_json(report / "metrics.json")
    shots = ((metrics.get("model") or {}).get("shots") or {}).get("count", 0)
    files.write_json(folder / EVALUATION, {"generation": metrics.get("generation"), "shots": int(shots)})


def read_state(client: Any, run_id: str, folder: Path) -> Path | None:
    """Copy the state of the run into ``folder``; None if the run has none, as those of earlier versions."""
    if not client.list_artifacts(run_id, FOLDER):
        return None
    return Path(client.download_artifacts(run_id, FOLDER, str(folder)))


def has_commit(root: Path, commit: str) -> bool:
    """Whether the git repository of ``root`` has this commit."""
    return bool(commit) and git.text(root, "cat-file", "-t", commit).strip() == "commit"
