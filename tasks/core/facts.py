"""Volatile facts of a run: times, device, commit. They go to ``runs/``, on which no stage depends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tasks.core import git

FLOW_RUN_VARIABLE = "TUNESMITH_FLOW_RUN_ID"
"""Environment variable that a flow sets to the id of its Prefect run."""


def facts(root: Path, started: float, ended: float, threads: int) -> dict[str, Any]:
    """The facts that ``run.json`` holds for every step; ``started`` and ``ended`` are Unix seconds."""
    from tasks.core import device  # imports torch, which flows do not need

    return {
        "started": started,
        "ended": ended,
        "seconds": ended - started,
        "peak_memory_bytes": device.peak_memory_bytes(),
        "threads": threads,
        "device": str(device.device()),
        "git_commit": git_commit(root),
        "prefect_flow_run_id": os.environ.get(FLOW_RUN_VARIABLE),
    }


def git_commit(root: Path) -> str | None:
    """The commit of the workspace, with ``-dirty`` if tracked files differ from it; None outside git."""
    return git.text(root, "describe", "--always", "--abbrev=40", "--dirty").strip() or None
