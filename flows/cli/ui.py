"""``tunesmith ui``: the pages of Prefect and MLflow."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import say, warn, workspace, write


def ui(
    only: Annotated[str | None, typer.Option(help="Start only this page: prefect or mlflow.")] = None,
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect UI.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
) -> None:
    """Start the Prefect UI and the MLflow UI on localhost, until Ctrl-C. Prints errors of their services."""
    root = workspace()
    from flows.ui import serve_pages

    serve_pages(root, only, prefect_port, mlflow_port, write, say, warn)
