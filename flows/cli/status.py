"""``tunesmith status``: the stages that run next, and the schedule."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import workspace


def status(
    verbose: Annotated[
        bool, typer.Option(help="Name every changed file, also code and the files of stages never built.")
    ] = False,
) -> None:
    """Show which stages run next and why, and when the schedule fires."""
    root = workspace()
    from flows.commands.status import print_status

    print_status(root, verbose)
