"""``tunesmith reproduce``: build a registered model again, and compare the weights."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import workspace, write
from tasks.core.stage import terminate


def reproduce(
    model: Annotated[
        str | None,
        typer.Argument(help="NAME@ALIAS, a version's number, models:/…, or an experiment; default: the champion."),
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the worktree in this new folder.")] = None,
) -> None:
    """Build a registered model again from its sources, in a temporary worktree. Exit code 1: the weights differ."""
    root = workspace()
    signal.signal(signal.SIGTERM, terminate)  # so that the worktree is removed
    from flows.commands.reproduce import reproduce as run

    if not run(root, model, write, keep):
        raise typer.Exit(1)
