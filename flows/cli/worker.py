"""``tunesmith worker``: start the flow runs of a work pool in this workspace."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import workspace, write
from flows.workspace import refuse_silent_prefect


def worker(
    pool: Annotated[str, typer.Option(help="The work pool (infra/work-pools.yaml).")] = "tunesmith",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of concurrent flow runs.")] = None,
) -> None:
    """Start the flow runs of a work pool in this workspace, until Ctrl-C. First `tunesmith deploy` the flows."""
    root = workspace()
    refuse_silent_prefect()
    from flows.deploy.worker import work

    work(root, pool, limit, write)
