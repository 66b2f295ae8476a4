"""``tunesmith clean``: remove what no parameter names any more."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import console, workspace


def clean(
    dry_run: Annotated[bool, typer.Option(help="Only print what would be removed.")] = False,
    checkpoints: Annotated[
        bool, typer.Option(help="Also remove checkpoints, from which an interrupted training would resume.")
    ] = False,
    cache: Annotated[
        bool, typer.Option(help="Also remove from DVC's cache what neither the workspace nor a commit refers to.")
    ] = False,
) -> None:
    """Remove folders and dvc.lock entries of anything that params/ no longer names. Registered models are kept."""
    root = workspace()
    from flows.commands.clean import clean as remove

    for line in remove(root, dry_run, cache, checkpoints):
        console.print(line, markup=False, highlight=False)
