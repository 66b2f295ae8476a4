"""``tunesmith sign``: sign a registered version."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import workspace, write


def sign(
    version: Annotated[
        str | None,
        typer.Argument(help="A version's number, NAME@ALIAS, models:/…, or an experiment; default: the champion."),
    ] = None,
) -> None:
    """Sign a registered version with the private key in TUNESMITH_SIGNING_KEY."""
    root = workspace()
    from flows.commands.sign import sign_version

    write(f"{sign_version(root, version)} is signed")
