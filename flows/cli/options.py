"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Experiments = Annotated[list[str] | None, typer.Option("--experiment", help="Only this experiment; may be repeated.")]

Register = Annotated[bool, typer.Option(help="At the end, let the gate decide about a new champion.")]

Refresh = Annotated[
    bool, typer.Option("--refresh", help="First bring the fetched sources up to date (params/sources.yaml: fetched).")
]

NewSplit = Annotated[
    list[str] | None,
    typer.Option(
        help="Source whose rows may be split anew if its split changed or is lost, or `all`; may be repeated."
    ),
]
