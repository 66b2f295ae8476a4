"""``tunesmith schedule``: the flow ``retrain`` at set times."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import Experiments, Refresh, Register
from flows.terminal import warn, workspace, write
from flows.workspace import refuse_silent_prefect
from tasks.core.paths import Paths


def schedule(
    cron: Annotated[str, typer.Option(help="When to run: minute, hour, day, month, weekday.")] = "0 3 * * 1",
    timezone: Annotated[
        str | None, typer.Option(help="Time zone of --cron, such as Europe/Berlin; that of this machine by default.")
    ] = None,
    experiments: Experiments = None,
    register: Register = True,
    refresh: Refresh = False,
) -> None:
    """Run the flow `retrain` on a schedule and from the Prefect UI, until Ctrl-C. Needs a Prefect server: `make ui`."""
    root = workspace()
    from flows.commands.experiments import check_experiments

    check_experiments(Paths(root), "schedule", experiments)
    from flows.deployments import serve

    refuse_silent_prefect()
    parameters = {"experiments": experiments, "register_model": register, "refresh": refresh}
    serve(root, cron, timezone, parameters, write, warn)
