"""``tunesmith backup`` and ``tunesmith restore``: the state of a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import workspace, write


def backup(folder: Annotated[Path, typer.Argument(help="A new folder outside the workspace.")]) -> None:
    """Copy the state of the workspace: git, DVC's cache, MLflow and Prefect (if they are local), local base models."""
    root = workspace()
    from flows.commands.backup import backup as copy

    copy(root, folder, write)
    write(f"backup: {folder}; `tunesmith restore {folder} NEW_FOLDER` restores it")


def restore(
    folder: Annotated[Path, typer.Argument(help="A backup.")],
    into: Annotated[Path, typer.Argument(help="A new or empty folder.")],
) -> None:
    """Restore a backup into a new folder, which becomes a workspace."""
    from flows.commands.backup import restore as copy

    copy(folder, into, write)
    write(f"restored: cd {into} && make .venv/.ready && .venv/bin/tunesmith status")
