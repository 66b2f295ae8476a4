"""Exchange data with DVC's remote."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from flows.subprocesses import stream
from tasks.core.errors import TunesmithError

_DVC = [sys.executable, "-m", "dvc"]


def pull(root: Path, say: Callable[[str], None]) -> None:
    """Download all sources and outputs of this commit from DVC's default remote, and place them in the workspace.

    Raises:
        TunesmithError: no remote is configured, or it lacks something.
    """
    refuse_no_remote(root)
    _dvc(root, ["pull", "--run-cache"], say)


def refuse_no_remote(root: Path) -> None:
    """Raise TunesmithError if DVC has no default remote."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        if not repo.config["core"].get("remote"):
            raise TunesmithError(
                "DVC needs a remote; none is configured; `dvc remote add --default NAME URL` adds one, in this clone "
                "alone with --local"
            )


def _dvc(root: Path, arguments: list[str], say: Callable[[str], None]) -> None:
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        say(line)

    if stream([*_DVC, *arguments], root, on_line, {}):
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-3:]
        raise TunesmithError(f"`dvc {' '.join(arguments)}` failed: {' '.join(errors)}")
