"""``tunesmith helm``: HELM's seven metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Experiments
from flows.terminal import show, workspace, write
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths


def helm(
    experiments: Experiments = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with the scenarios' files; helm.data of params/ by default.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=4, help="Rows per scenario.")] = None,
    scenario: Annotated[list[str] | None, typer.Option(help="Only this scenario; may be repeated.")] = None,
) -> None:
    """Measure HELM's seven metrics on local files, such as accuracy, calibration, robustness, bias and toxicity."""
    root = workspace()
    from flows.commands.helm import helm as measure
    from tasks.benchmark.helm.table import below, rich_table

    shown = measure(root, experiments, scenario, data, rows)
    show(rich_table(shown))
    for line in [*below(shown), f"picture and page: {Paths(root).helm}/table.png, table.html, table.md"]:
        write(line)
    if shown.failures:
        raise TunesmithError("\n".join(shown.failures))
