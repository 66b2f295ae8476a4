"""``tunesmith merge``: merge a registered adapter into its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import note, workspace, write


def merge(
    output: Annotated[Path, typer.Option(help="New folder for the whole model.")],
    version: Annotated[
        str | None,
        typer.Argument(help="NAME@ALIAS, a version's number, models:/…, or an experiment; default: the champion."),
    ] = None,
) -> None:
    """Merge a registered adapter into its base model. First check on 32 prompts that the outputs stay the same."""
    root = workspace()
    from flows.commands.merge import merge_version

    write("\n".join(merge_version(root, version, output, note)))
