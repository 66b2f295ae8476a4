"""``tunesmith doctor``: check what a run needs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from flows.terminal import console, say, workspace


def doctor(
    deep: Annotated[
        bool, typer.Option(help="Also hash every output that DVC records, in the workspace and in DVC's cache.")
    ] = False,
) -> None:
    """Check versions, processors, memory, disk, parameters, base models, tracking store, Prefect and DVC's remote."""
    root = workspace()
    from flows.commands.doctor import examine

    table = Table("", "checked", "result")
    findings = examine(root, say, deep)
    for finding in findings:
        table.add_row("[green]ok[/]" if finding.ok else "[red]no[/]", finding.subject, finding.result)
    console.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
