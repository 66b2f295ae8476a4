"""``tunesmith champion``: show the champion, or set it by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import workspace, write
from tasks.core.errors import TunesmithError


def champion(
    experiment: Annotated[
        str | None, typer.Option("--set", help="Make this experiment the champion, whatever the gate decided.")
    ] = None,
    because: Annotated[str | None, typer.Option(help="Reason, stored with the version; needed with --set.")] = None,
) -> None:
    """Show the champion, since when and why it is the champion, and the gate's latest decision."""
    root = workspace()
    from flows.commands.champion import champion_lines, set_by_hand

    if experiment is None and because is not None:
        raise TunesmithError("champion: --because gives the reason of --set; add `--set EXPERIMENT`")
    if experiment is not None:
        set_by_hand(root, experiment, because)
    write("\n".join(champion_lines(root)))
