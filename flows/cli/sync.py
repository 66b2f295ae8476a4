"""``tunesmith sync``: MLflow, completed from the files."""

from __future__ import annotations

from flows.terminal import console, workspace
from flows.workspace import workspace_lock
from tasks.core.paths import Paths


def sync() -> None:
    """Complete or rebuild MLflow from the files, for example after `dvc repro`, `dvc pull` or `dvc checkout`."""
    root = workspace()
    from tasks.tracking.sync import sync as synchronise

    with workspace_lock(root, "tunesmith sync"):
        results = synchronise(Paths(root), None)
    for result in results:
        console.print(f"{result.experiment}: {'completed' if result.changed else 'complete'}, run {result.run_id}")
    if not results:
        console.print("nothing to log: no experiment is trained yet")
