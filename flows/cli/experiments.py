"""``tunesmith experiments``: entries of ``params/experiments.yaml``."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import workspace, write
from flows.workspace import workspace_lock
from tasks.core.paths import Paths

app = typer.Typer(no_args_is_help=True, help="Add experiments to params/experiments.yaml.")


@app.command()
def seeds(
    experiment: Annotated[str, typer.Argument(help="The experiment to repeat.")],
    count: Annotated[int, typer.Option(min=1, help="Number of new seeds, besides the experiment's own.")] = 2,
    first: Annotated[
        int | None, typer.Option(min=0, help="Smallest new seed; by default the one after the experiment's own.")
    ] = None,
) -> None:
    """Repeat an experiment with other seeds, so that the comparison shows how much a score depends on the seed."""
    root = workspace()
    from flows.commands.seeds import add_seeds

    with workspace_lock(root, "tunesmith experiments seeds"):
        repeats = add_seeds(Paths(root), experiment, count, first)
    for line in repeats.lines():
        write(line)
