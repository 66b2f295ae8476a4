"""``tunesmith testset``: test sets."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import say, workspace, write

app = typer.Typer(no_args_is_help=True, help="Replace test sets that have decided too often.")


@app.command()
def rotate(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Sources; those of evaluation_set.sources by default.")
    ] = None,
) -> None:
    """Let the next run draw a new test set from rows that no experiment has seen.

    The old test rows become a second opinion.
    """
    root = workspace()
    from flows.commands.testset import rotate as rotate_sources

    write("\n".join(rotate_sources(root, sources, say)))
