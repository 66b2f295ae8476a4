"""Commands of the servers: ``schedule``, ``trigger`` and ``ui``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.terminal import say, workspace, write
from flows.workspace import refuse_silent_prefect
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths

app = typer.Typer()


@app.command()
def schedule(
    cron: Annotated[str, typer.Option(help="When to run: minute, hour, day, month, weekday.")] = "0 3 * * 1",
    timezone: Annotated[
        str | None, typer.Option(help="Time zone of --cron, such as Europe/Berlin; that of this machine by default.")
    ] = None,
    experiment: Annotated[list[str] | None, typer.Option(help="Only this experiment; may be repeated.")] = None,
    register: Annotated[bool, typer.Option(help="Ask the gate for a new champion at the end.")] = True,
) -> None:
    """Serve the flow `retrain` on a schedule, and to the Prefect UI's run form. Needs a server: `make ui`."""
    root = workspace()
    check_experiments(root, "schedule", experiment)
    from flows.deployments import serve

    refuse_silent_prefect()
    serve(root, cron, timezone, experiment, register, write, _warn)


@app.command()
def trigger(
    experiment: Annotated[list[str] | None, typer.Option(help="Only this experiment; may be repeated.")] = None,
) -> None:
    """Run the flow that `schedule` serves, now. Returns once the run has started."""
    root = workspace()
    check_experiments(root, "trigger", experiment)
    from flows.deployments import trigger as start

    refuse_silent_prefect()
    start(root, experiment, write, say)


@app.command()
def ui(
    only: Annotated[str | None, typer.Option(help="prefect or mlflow.")] = None,
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect UI.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
) -> None:
    """Start the Prefect UI and the MLflow UI on localhost; Ctrl-C ends both. Prints each service that fails."""
    root = workspace()
    from flows.ui import serve_pages

    serve_pages(root, only, prefect_port, mlflow_port, write, say, _warn)


def check_experiments(root: Path, command: str, names: list[str] | None) -> None:
    """Raises TunesmithError when one of ``names`` is not in ``params/experiments.yaml``."""
    from tasks.resolve.check import mapping

    known = list(mapping(Paths(root).params / "experiments.yaml", "experiments"))
    if unknown := [name for name in names or () if name not in known]:
        raise TunesmithError(
            f"{command}: no experiment {unknown[0]!r} in params/experiments.yaml; there are: {', '.join(known)}"
        )


def _warn(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(text, style="red", markup=False, highlight=False)
