"""The work of ``tunesmith report``: read another commit of the workspace, and write the report."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from ruamel.yaml import YAML
from scmrepo.exceptions import SCMError

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.report.changes import Earlier
from tasks.report.facts import source_versions
from tasks.report.run import run
from tasks.tracking.run_params import flatten

COMPARISON = "reports/comparison/comparison.json"

_FOLDERS = {"experiment": "experiments", "baseline": "baselines"}
"""Kind of a system → its folder under ``reports/``."""


def build_report(root: Path, against: str | None) -> Path:
    """Write the report, with what changed since the commit ``against``, and return its path.

    Raises:
        TunesmithError: nothing has been compared yet; or ``against`` is no commit, or its comparison cannot be had.
    """
    return run(Paths(root), read_earlier(root, against) if against is not None else None)


def read_earlier(root: Path, commit: str) -> Earlier:
    """The workspace at ``commit``: from git, and from DVC's cache or remote.

    Raises:
        TunesmithError: there is no such commit, or its comparison is not in ``dvc.lock``, the cache or the remote.
    """
    try:
        files = DVCFileSystem(str(root), rev=commit)
        comparison = json.loads(files.read_text(COMPARISON))
    except SCMError as error:
        raise TunesmithError(
            f"report: --against: {commit!r} must be a commit, tag or branch of this git repository; {error}"
        ) from None
    except (DvcException, FileNotFoundError, OSError) as error:
        raise TunesmithError(
            f"report: --against: {commit} must have a comparison that DVC can restore; {COMPARISON} could not be read "
            f"({_reason(error)}). Its dvc.lock must be committed, and its files must be in DVC's cache or remote "
            "(`dvc fetch`)"
        ) from None
    names = [entry["name"] for entry in comparison["systems"] if entry["kind"] == "experiment"]
    folders = {entry["name"]: _FOLDERS[entry["kind"]] for entry in comparison["systems"]}
    rows = {name: _rows(files, f"reports/{kind}/{name}/predictions.parquet") for name, kind in folders.items()}
    params = {name: _yaml(files, f"build/experiments/{name}/train.yaml") for name in names}
    return Earlier(
        f"{commit} ({_date(root, commit)})",
        comparison,
        {name: of for name, of in rows.items() if of is not None},
        {name: flatten(of) for name, of in params.items() if of},
        source_versions(_yaml(files, "dvc.lock").get("stages") or {}),
    )


def _rows(files: DVCFileSystem, path: str) -> list[dict[str, Any]] | None:
    try:
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(files.read_bytes(path))).to_pylist()
        return rows
    except (DvcException, OSError):
        return None


def _yaml(files: DVCFileSystem, path: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = YAML(typ="safe").load(files.read_text(path)) or {}
        return content
    except (DvcException, OSError):
        return {}


def _date(root: Path, commit: str) -> str:
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        seconds = repo.scm.resolve_commit(repo.scm.resolve_rev(commit)).commit_time
    return datetime.fromtimestamp(seconds).date().isoformat()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
